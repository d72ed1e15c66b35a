//! A node that saw safety broken and is started again: it signs nothing and serves nothing, but who lied has to pay.

use alloy::signers::local::PrivateKeySigner;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::opener::Opener;
use crate::l1::{AccountConfig, AccountContext, SendError, Watcher, report_rest};

/// Takes what this node holds against others to L1, from its evidence account, and waits until that is final there.
pub(super) async fn report(opener: &Opener, key: PrivateKeySigner, config: AccountConfig) -> Result<(), String> {
    error!("safety was seen broken; this node starts only to take what shows it to L1, and then ends");
    let epochs = opener.book().await.map_err(|error| error.to_string())?;
    let cancel = CancellationToken::new();
    let _ends_with_this = cancel.clone().drop_guard();
    let (client, facts, ledger) = (opener.client.clone(), opener.facts.clone(), opener.ledger.clone());
    let watcher = Watcher::spawn(client.clone(), facts.clone(), ledger.clone(), config.poll, cancel.clone());
    let account = AccountContext { client, facts, ledger, key, config, l1: watcher.view, cancel };
    report_rest(account, epochs).await.map_err(|error: SendError| error.to_string())?;
    info!("L1 holds all evidence that this node has, or takes no more of it");
    Ok(())
}
