//! What the chain's state starts from: the genesis file that the chain spec on L1 names, and the executor that goes on from it.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::B256;
use baton_execution::{
    ChainExecutor, NonceExecutor, StateError,
    evm::EvmExecutor,
    genesis::{GENESIS_BYTES_MAX, Genesis, GenesisError},
    state::ChangeSet,
};
use baton_proto::{BlockHeader, ChainSpec, ExecutorKind};

/// Why there is no state to start from. Each is the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum StartError {
    #[error(
        "the chain executes transactions from a genesis with hash {expected}; get its file from whoever founded the chain, and name it as `genesis` (--genesis)"
    )]
    Missing { expected: B256 },
    #[error("the chain only orders transactions and has no genesis, but `genesis` names {}; take it out", path.display())]
    Unused { path: PathBuf },
    #[error("the genesis file {} cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("the genesis file {}: {error}", path.display())]
    Refused { path: PathBuf, error: GenesisError },
    #[error(
        "the genesis file {} has hash {got}, but the chain's registry on L1 says {expected}: it is another chain's, or was changed; get the file from whoever founded the chain",
        path.display()
    )]
    Other { path: PathBuf, expected: B256, got: B256 },
    #[error(transparent)]
    State(#[from] StateError),
}

/// What executes a chain's blocks, and what it starts from.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) execution: Arc<ChainExecutor>,
    /// None on a chain that only orders.
    pub(super) genesis: Option<Arc<Genesis>>,
}

impl Start {
    /// Reads the file that `spec` demands, and checks that it is the one.
    ///
    /// # Errors
    /// [`StartError`] says what to do.
    pub(super) fn read(file: Option<&Path>, spec: &ChainSpec) -> Result<Self, StartError> {
        let path = match (spec.executor, file) {
            (ExecutorKind::None, None) => return Ok(Self { execution: Arc::new(ChainExecutor::None), genesis: None }),
            (ExecutorKind::None, Some(path)) => return Err(StartError::Unused { path: path.into() }),
            (ExecutorKind::Embedded, None) => return Err(StartError::Missing { expected: spec.genesis_hash }),
            (ExecutorKind::Embedded, Some(path)) => path,
        };
        let refused = |error| StartError::Refused { path: path.into(), error };
        let genesis = Genesis::parse(&text(path)?).map_err(refused)?;
        // These two have a message of their own: who forked a file for another chain forgot them.
        genesis.check(spec).map_err(refused)?;
        let (expected, got) = (spec.genesis_hash, genesis.hash()?);
        if expected != got {
            return Err(StartError::Other { path: path.into(), expected, got });
        }
        let execution = Arc::new(ChainExecutor::Embedded(EvmExecutor::new(&genesis)));
        Ok(Self { execution, genesis: Some(Arc::new(genesis)) })
    }

    /// Returns what makes an empty state the one after `header`, the chain's first block.
    pub(super) fn changes(&self, header: &BlockHeader) -> Result<ChangeSet, StartError> {
        Ok(match &self.genesis {
            None => NonceExecutor::genesis(header),
            Some(genesis) => genesis.changes(header)?,
        })
    }
}

/// Reads no more than a genesis file may have: one byte more tells that it has too many.
fn text(path: &Path) -> Result<String, StartError> {
    let unreadable = |error: std::io::Error| StartError::Unreadable { path: path.into(), why: error.to_string() };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(GENESIS_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use baton_proto::{L1BlockNumber, L1Origin};
    use serde_json::{Value, json};

    use super::*;

    fn file(change: impl FnOnce(&mut Value)) -> String {
        let mut file = json!({
            "chainId": 7777,
            "nativeToken": { "name": "Ether", "symbol": "ETH" },
            "gasLimit": ChainSpec::example().block_gas_limit,
            "eip1559": {
                "baseFeePerGas": 7, "minBaseFeePerGas": 7, "elasticityMultiplier": 2, "baseFeeChangeDenominator": 8,
            },
            "alloc": { "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266": { "balance": "1" } },
        });
        change(&mut file);
        file.to_string()
    }

    /// The error of a start of a chain with `executor` from a file with this text; the spec names the hash of `file(|_| {})`.
    fn refused(executor: ExecutorKind, text: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let genesis_hash = match executor {
            ExecutorKind::None => B256::ZERO,
            ExecutorKind::Embedded => Genesis::parse(&file(|_| {})).unwrap().hash().unwrap(),
        };
        let spec = ChainSpec { executor, genesis_hash, ..ChainSpec::example() };
        Start::read(text.map(|_| path.as_path()), &spec).unwrap_err().to_string()
    }

    #[test]
    fn a_chain_starts_from_the_genesis_that_its_spec_names_and_from_no_other() {
        let right = file(|_| {});
        let missing = refused(ExecutorKind::Embedded, None);
        assert!(missing.contains("--genesis") && missing.contains("0x"), "{missing}");
        let unused = refused(ExecutorKind::None, Some(&right));
        assert!(unused.contains("take it out"), "{unused}");
        let garbage = refused(ExecutorKind::Embedded, Some("{}"));
        assert!(garbage.contains("genesis.json") && garbage.contains("missing field"), "{garbage}");
        let chain = refused(ExecutorKind::Embedded, Some(&file(|file| file["chainId"] = json!(1))));
        assert!(chain.contains("chainId is 1, but the chain's registry on L1 says 7777"), "{chain}");
        let richer =
            |file: &mut Value| file["alloc"]["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]["balance"] = json!(2);
        let other = refused(ExecutorKind::Embedded, Some(&file(richer)));
        assert!(other.contains("has hash 0x") && other.contains("whoever founded the chain"), "{other}");
    }

    #[test]
    fn what_is_right_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        std::fs::write(&path, file(|_| {})).unwrap();
        let genesis_hash = Genesis::parse(&file(|_| {})).unwrap().hash().unwrap();
        let spec = ChainSpec { executor: ExecutorKind::Embedded, genesis_hash, ..ChainSpec::example() };
        let start = Start::read(Some(&path), &spec).unwrap();
        assert!(start.execution.evm().is_some());
        let header =
            BlockHeader::genesis(spec.l2_chain_id, L1Origin { number: L1BlockNumber::ZERO, hash: B256::ZERO }, 1);
        let root = start.changes(&header).unwrap().head.after.unwrap().state_root;
        assert_eq!(root, start.genesis.unwrap().state_root().unwrap());
        let ordering = Start::read(None, &ChainSpec::example()).unwrap();
        assert_eq!(ordering.changes(&header).unwrap().head.after.unwrap().state_root, B256::ZERO);
        let absent = Start::read(Some(&folder.path().join("other")), &spec).unwrap_err().to_string();
        assert!(absent.contains("cannot be read: No such file"), "{absent}");
    }
}
