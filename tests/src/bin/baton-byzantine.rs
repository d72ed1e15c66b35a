//! A sequencer that lies whenever it leads. Everything else about it is an honest node. It exists to be caught.
//!
//! - It *equivocates*: it signs two blocks and shows each to another half of the others. The second signature is made behind
//!   the back of its sign record.
//! - Or it *reorders*: whatever the chain's rule is, its blocks stand in the order in which transactions came to it.

use std::{
    process::ExitCode,
    sync::{Arc, PoisonError},
};

use anyhow::Context as _;
use baton_consensus::{Committee, SecretKey};
use baton_mempool::{Pool, PoolConfig};
use baton_node::{
    cli::node::NodeArgs,
    config::Config,
    node::{self, NodeOptions, Opened},
    p2p::Outbound,
    signer::keyfile,
};
use baton_proto::{
    Block, BlockHeader, Domain, MemberIndex, OrderingRule, SignedStatement, Statement, TimestampMs,
    wire::ConsensusMessage,
};
use clap::Parser;

#[derive(Parser)]
#[command(name = "baton-byzantine", about = "A lying sequencer, for tests")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Takes the arguments of `baton node`.
    Node {
        #[command(flatten)]
        node: Box<NodeArgs>,
        /// How it lies.
        #[arg(long, value_enum, default_value_t = Lie::Equivocate)]
        lie: Lie,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Lie {
    Equivocate,
    Reorder,
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
    let Verb::Node { node, lie } = Cli::parse().verb;
    match run(*node, lie).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("baton-byzantine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: NodeArgs, lie: Lie) -> anyhow::Result<()> {
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
        match lie {
            Lie::Equivocate => {
                let epoch = opened.epochs.running();
                let Some(me) = epoch.me() else { return inner };
                let committee = Arc::clone(&epoch.committee);
                Arc::new(Equivocator { inner, key, domain: opened.facts.domain, committee, me })
            }
            Lie::Reorder => {
                let bounds = PoolConfig::of(&opened.facts.spec);
                let pool = Pool::new(PoolConfig { ordering_rule: OrderingRule::FirstSeen, ..bounds });
                *opened.pool.lock().unwrap_or_else(PoisonError::into_inner) = pool;
                inner
            }
        }
    };
    node::run_with(config, options, Box::new(wrap)).await?;
    Ok(())
}
