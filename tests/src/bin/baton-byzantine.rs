//! A sequencer that equivocates: whenever it leads, it signs two blocks and shows each to another half of the others.
//!
//! Everything else about it is an honest node, its sign record included: the second signature is made behind the record's
//! back. It exists to be caught.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use baton_consensus::{Committee, SecretKey};
use baton_node::{
    cli::node::NodeArgs,
    config::Config,
    node::{self, NodeOptions, Opened},
    p2p::Outbound,
    signer::keyfile,
};
use baton_proto::{
    Block, BlockHeader, Domain, MemberIndex, SignedStatement, Statement, TimestampMs, wire::ConsensusMessage,
};
use clap::Parser;

#[derive(Parser)]
#[command(name = "baton-byzantine", about = "An equivocating sequencer, for tests")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Takes the arguments of `baton node`.
    Node(Box<NodeArgs>),
}

/// Sends what it is given, except proposals: those it splits.
struct Equivocator {
    inner: Arc<dyn Outbound>,
    key: SecretKey,
    domain: Domain,
    committee: Arc<Committee>,
    me: MemberIndex,
}

impl Equivocator {
    /// The same block a millisecond later, as valid as the first, with a signature of its own.
    fn twin(&self, header: &BlockHeader, notarize: &SignedStatement) -> Option<(BlockHeader, SignedStatement)> {
        let mut header = header.clone();
        header.timestamp_ms = TimestampMs::new(header.timestamp_ms.get() + 1);
        let Statement::Notarize { epoch, view, .. } = notarize.statement else { return None };
        let statement = Statement::Notarize { epoch, view, block: header.digest() };
        let signature = self.key.sign(&statement, &self.domain);
        Some((header, SignedStatement { statement, signer: self.me, signature }))
    }
}

impl Outbound for Equivocator {
    fn broadcast(&self, message: ConsensusMessage) {
        let twin = match &message {
            ConsensusMessage::Proposal { block, notarize } => {
                self.twin(&block.header, notarize).map(|(header, notarize)| ConsensusMessage::Proposal {
                    block: Block { header, forced: block.forced.clone(), transactions: block.transactions.clone() },
                    notarize,
                })
            }
            ConsensusMessage::CompactProposal { header, notarize, forced, transactions } => {
                self.twin(header, notarize).map(|(header, notarize)| ConsensusMessage::CompactProposal {
                    header,
                    notarize,
                    forced: forced.clone(),
                    transactions: transactions.clone(),
                })
            }
            _ => None,
        };
        let Some(twin) = twin else {
            self.inner.broadcast(message);
            return;
        };
        let others: Vec<MemberIndex> = self.committee.indices().filter(|member| *member != self.me).collect();
        let (first, second) = others.split_at(others.len() / 2);
        tracing::info!(?first, ?second, "equivocating");
        first.iter().for_each(|member| self.inner.send(*member, message.clone()));
        second.iter().for_each(|member| self.inner.send(*member, twin.clone()));
    }

    fn send(&self, to: MemberIndex, message: ConsensusMessage) {
        self.inner.send(to, message);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Verb::Node(arguments) = Cli::parse().verb;
    match run(*arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("baton-byzantine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: NodeArgs) -> anyhow::Result<()> {
    let config = Config::load(arguments.config.as_deref(), arguments.keys)?;
    let options = NodeOptions {
        accept_missing_sign_record: arguments.accept_missing_sign_record,
        listen_for_sign_record: arguments.listen_for_sign_record,
        stop_with_stdin: arguments.stop_with_stdin,
    };
    baton_node::telemetry::log::init(&config.log)?;
    let key = config.consensus_key.as_deref().context("it equivocates with a consensus key")?;
    let key = keyfile::load(key)?;
    let wrap = move |inner: Arc<dyn Outbound>, opened: &Opened| -> Arc<dyn Outbound> {
        let epoch = opened.epochs.running();
        let Some(me) = epoch.me() else { return inner };
        let committee = Arc::clone(&epoch.committee);
        Arc::new(Equivocator { inner, key, domain: opened.facts.domain, committee, me })
    };
    node::run_with(config, options, Box::new(wrap)).await?;
    Ok(())
}
