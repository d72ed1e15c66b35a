//! Every key an operator can set: its place in the file, its flag, its environment variable, and what it is for.
//!
//! All are optional here: one value of these types is one layer (the file, or flags and environment), and
//! [`Config::load`](super::Config::load) lays them over each other. clap itself puts flags above the environment.

use std::{net::SocketAddr, path::PathBuf};

use alloy_primitives::Address;
use libp2p::Multiaddr;
use serde::Deserialize;

use super::{LogFormat, PeerAddress};
use crate::l1::DataChoice;

/// Declares one layer of keys with their flags and environment variables, and how it is laid over a lower one.
macro_rules! layer {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty, $flag:literal, $env:literal; )*
        }
        $( sections { $( $(#[$section_doc:meta])* $section:ident: $section_type:ty; )* } )?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, clap::Args)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[$field_doc])* #[arg(id = $flag, long = $flag, env = $env)] pub $field: Option<$type>, )*
            $( $( $(#[$section_doc])* #[command(flatten)] #[serde(default)] pub $section: $section_type, )* )?
        }

        impl $name {
            /// Lays this layer over `lower`: what is set here wins.
            #[must_use]
            pub fn or(self, lower: Self) -> Self {
                Self {
                    $( $field: self.$field.or(lower.$field), )*
                    $( $( $section: self.$section.or(lower.$section), )* )?
                }
            }
        }
    };
}

layer! {
    /// All keys of `baton node`.
    NodeKeys {
        /// Folder of the chain data; made if missing. One process at a time. No default, so that two nodes of one host
        /// never share a folder by accident.
        data_dir: PathBuf, "data-dir", "BATON_DATA_DIR";
        /// Folder of the record of everything this key ever signed. Default: `sign-record` beside the consensus key,
        /// because it belongs to the key: restoring chain data must never rewind it, so it may not be inside `data_dir`.
        sign_record_dir: PathBuf, "sign-record-dir", "BATON_SIGN_RECORD_DIR";
        /// File of the BLS key, made by `baton keys new`. Default: none, and the node is a follower: it signs nothing,
        /// follows the committee, serves reads, and forwards transactions.
        consensus_key: PathBuf, "consensus-key", "BATON_CONSENSUS_KEY";
        /// File of the BLS key that the sequencer changes to, made by `baton keys next`. The node signs with it from the
        /// epoch on in which L1 has it, and with `consensus_key` in those before. Default: none.
        next_consensus_key: PathBuf, "next-consensus-key", "BATON_NEXT_CONSENSUS_KEY";
        /// Folder of the sign record of `next_consensus_key`. Default: `sign-record` beside that key.
        next_sign_record_dir: PathBuf, "next-sign-record-dir", "BATON_NEXT_SIGN_RECORD_DIR";
        /// File (mode 0600, 32 bytes in hex) of the secp256k1 key that pays for batches. Default: none, and the node
        /// attests but never posts.
        poster_key: PathBuf, "poster-key", "BATON_POSTER_KEY";
        /// File (mode 0600, 32 bytes in hex) of the secp256k1 key that pays for evidence and for settling epochs: another
        /// account than the poster's, so that evidence never waits behind a stuck batch. Default: none, and the node stores
        /// and gossips evidence but never submits any, and settles nothing.
        evidence_key: PathBuf, "evidence-key", "BATON_EVIDENCE_KEY";
        /// Genesis file of a chain with an executor: the accounts, code and fees that it starts from. The chain spec on L1 names
        /// its hash, so all nodes have the same. Default: none, which a chain that only orders must have.
        genesis: PathBuf, "genesis", "BATON_GENESIS";
        /// The rollup's chain id that you expect. Default: not checked. The chain spec on L1 decides; a difference
        /// refuses to start.
        l2_chain_id: u64, "l2-chain-id", "BATON_L2_CHAIN_ID";
    }
    sections {
        /// The L1.
        l1: L1Keys;
        /// Peers.
        p2p: P2pKeys;
        /// Transactions that wait.
        pool: PoolKeys;
        /// JSON-RPC.
        rpc: RpcKeys;
        /// Health endpoints.
        health: HealthKeys;
        /// Log.
        log: LogKeys;
    }
}

layer! {
    /// `[l1]`
    L1Keys {
        /// L1 JSON-RPC endpoints (http or https), tried in this order; three, because most of them must agree: one of three
        /// may be down, slow or lie, none of two. Separated by commas in the environment. They often carry an access token, so only the host is
        /// ever printed, and they are checked later than other values, whose errors repeat what was given.
        #[arg(value_delimiter = ',', hide_env_values = true)]
        rpc: Vec<String>, "l1-rpc", "BATON_L1_RPC";
        /// Chain id that every endpoint must report; another one refuses to start.
        chain_id: u64, "l1-chain-id", "BATON_L1_CHAIN_ID";
        /// Address of `SequencerRegistry`.
        registry: Address, "l1-registry", "BATON_L1_REGISTRY";
        /// Address of `BatchInbox`.
        inbox: Address, "l1-inbox", "BATON_L1_INBOX";
        /// Address of `Slasher`.
        slasher: Address, "l1-slasher", "BATON_L1_SLASHER";
        /// Pause between two looks at L1 in milliseconds. Default 1000: L1 blocks come every 12 s, so a block is seen a
        /// second late at most, for one request a second.
        poll_interval_ms: u64, "l1-poll-interval-ms", "BATON_L1_POLL_INTERVAL_MS";
        /// Age of the newest L1 head in milliseconds from which our view of L1 is stale: the node then names no newer
        /// origins and attests no batches, and goes on voting. Default 60000: five missed slots of 12 s.
        stale_after_ms: u64, "l1-stale-after-ms", "BATON_L1_STALE_AFTER_MS";
        /// Beacon API endpoints of L1 (http or https), tried in this order: batches whose data is in blobs are read there.
        /// Printed like `rpc`. Default none: what a member of the committee attested it has, and needs none; a follower then
        /// records batches in blobs without their data.
        #[arg(value_delimiter = ',', hide_env_values = true)]
        beacon: Vec<String>, "l1-beacon", "BATON_L1_BEACON";
        /// How the data of this node's batches gets to L1. Default auto: blobs, or calldata where that costs less or L1
        /// does not say what blobs cost.
        batch_data: DataChoice, "l1-batch-data", "BATON_L1_BATCH_DATA";
    }
}

layer! {
    /// `[p2p]`
    P2pKeys {
        /// File of the ed25519 identity, made by `baton keys new`.
        identity: PathBuf, "p2p-identity", "BATON_P2P_IDENTITY";
        /// Multiaddrs to listen on. Default `/ip4/0.0.0.0/tcp/30303` and `/ip4/0.0.0.0/udp/30303/quic-v1`: a sequencer must
        /// be reachable from outside, over TCP or QUIC.
        #[arg(value_delimiter = ',')]
        listen: Vec<Multiaddr>, "p2p-listen", "BATON_P2P_LISTEN";
        /// Multiaddrs at which others reach this node, such as `/ip4/203.0.113.7/tcp/30303`, where those that it listens on
        /// lie behind a gateway. Other members hand them on. IP addresses only: nobody dials a name
        /// that it was told of. Default none: only the addresses listened on are told.
        #[arg(value_delimiter = ',')]
        announce: Vec<Multiaddr>, "p2p-announce", "BATON_P2P_ANNOUNCE";
        /// Multiaddrs, each ending in `/p2p/PEERID`, of nodes to keep connected; a peer may have several. Which member each
        /// is, it proves itself. Default none: then this node only hears from those who dial it.
        #[arg(value_delimiter = ',')]
        peers: Vec<PeerAddress>, "p2p-peer", "BATON_P2P_PEERS";
        /// Multiaddrs, each ending in `/p2p/PEERID`, of processes that get a copy of every consensus message and are never
        /// listened to. Default none.
        #[arg(value_delimiter = ',')]
        observers: Vec<PeerAddress>, "p2p-observer", "BATON_P2P_OBSERVERS";
    }
}

layer! {
    /// `[pool]`
    PoolKeys {
        /// Most transactions that wait. Default 10000: ten full blocks of calls, and a node stays far below 500 MiB.
        transactions_max: u32, "pool-transactions-max", "BATON_POOL_TRANSACTIONS_MAX";
        /// Most bytes of them, as encoded. Default 20000000: ten full blocks.
        bytes_max: u32, "pool-bytes-max", "BATON_POOL_BYTES_MAX";
        /// Milliseconds that a transaction may wait, restarts included. Default 10800000: three hours, as L1 clients do.
        lifetime_ms: u64, "pool-lifetime-ms", "BATON_POOL_LIFETIME_MS";
        /// Least priority fee, or gas price, in wei. Default 0: as long as no base fee exists, a chain need not charge.
        priority_fee_min_wei: u64, "pool-priority-fee-min-wei", "BATON_POOL_PRIORITY_FEE_MIN_WEI";
    }
}

layer! {
    /// `[rpc]`
    RpcKeys {
        /// Address of the JSON-RPC server. Default `127.0.0.1:8545`: whoever can reach it can fill the pool, so opening it
        /// wider is a decision.
        listen: SocketAddr, "rpc-listen", "BATON_RPC_LISTEN";
        /// Host names that requests may be addressed to, `*` for any. Default `localhost`; IP addresses always pass. A web
        /// page that rebinds its own name to this host is refused by it.
        #[arg(value_delimiter = ',')]
        allowed_hosts: Vec<String>, "rpc-allowed-hosts", "BATON_RPC_ALLOWED_HOSTS";
        /// Origins of web pages (`https://app.example`) that may open a WebSocket, `*` for any. Default none: browsers let
        /// every page open one to anybody. Programs that are no browsers name no origin and always pass.
        #[arg(value_delimiter = ',')]
        allowed_origins: Vec<String>, "rpc-allowed-origins", "BATON_RPC_ALLOWED_ORIGINS";
        /// Most calls in one batch. Default 1000: the largest that client libraries send.
        batch_items_max: u32, "rpc-batch-items-max", "BATON_RPC_BATCH_ITEMS_MAX";
        /// Most bytes of a request's body. Default 5242880 (5 MiB): twenty of the largest transactions in hex.
        body_bytes_max: u32, "rpc-body-bytes-max", "BATON_RPC_BODY_BYTES_MAX";
        /// Most bytes of an answer, for a batch as a whole. Default 26214400 (25 MiB): what other clients allow a batch.
        answer_bytes_max: u32, "rpc-answer-bytes-max", "BATON_RPC_ANSWER_BYTES_MAX";
        /// Most open connections; further ones are closed at once. Default 500, half of the usual limit of open files.
        connections_max: u32, "rpc-connections-max", "BATON_RPC_CONNECTIONS_MAX";
        /// Most subscriptions of one WebSocket. Default 128: more than any wallet or indexer holds.
        subscriptions_max: u32, "rpc-subscriptions-max", "BATON_RPC_SUBSCRIPTIONS_MAX";
    }
}

layer! {
    /// `[health]`
    HealthKeys {
        /// Address of `/livez`, `/readyz` and `/metrics`. Default `127.0.0.1:9001`: a port of its own, so that a flood
        /// of RPC requests cannot make the node look dead.
        listen: SocketAddr, "health-listen", "BATON_HEALTH_LISTEN";
    }
}

layer! {
    /// `[log]`
    LogKeys {
        /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,baton_node::l1=debug`. Default `info`.
        level: String, "log-level", "BATON_LOG_LEVEL";
        /// `text` for people, `json` for machines: one object per line. Default `text`, coloured on a terminal only.
        format: LogFormat, "log-format", "BATON_LOG_FORMAT";
    }
}
