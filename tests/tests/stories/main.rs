//! End-to-end stories: real node processes, a real L1, real faults.
//!
//! They share the machine's cores and are told one after the other (`--test-threads=1`).

mod abandonment;
mod blobs;
mod catch_up;
mod clients;
mod correlation;
mod crash;
mod delegation;
mod epochs;
mod equivocation;
mod forced;
mod jail;
mod l1_outage;
mod late_evidence;
mod load;
mod membership;
mod ordering;
mod owners;
mod proofs;
mod proposals;
mod refusals;
mod restart;
mod rotation;
mod small;
mod subscriptions;
mod transactions;
mod wallets;
mod withdrawal;
