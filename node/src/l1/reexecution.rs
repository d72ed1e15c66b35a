//! Executes what L1 holds, and compares where it leads with what quorums attested: what anyone can do who has the genesis file.

use alloy_primitives::B256;
use baton_execution::{
    ExecuteError, Executor, StateError,
    state::{ChangeSet, EvmStore as _, MemoryState},
};
use baton_proto::{BatchIndex, Height};

use super::PostedChain;

/// Why what L1 holds does not lead where it says.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ReexecutionError {
    #[error("block {height}: {error}")]
    Execute { height: Height, error: ExecuteError },
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "batch {index} names state root {posted} after block {height}, but its blocks lead to {executed}: a quorum attested what is not true, or this is another genesis"
    )]
    OtherRoot { index: BatchIndex, height: Height, posted: B256, executed: B256 },
}

/// Executes the blocks of `chain` from the state that `genesis` makes, and compares the state root of every batch. Returns the
/// state after the last block.
///
/// The state is kept in memory.
///
/// # Errors
/// [`ReexecutionError::OtherRoot`] for the first batch that names another root.
pub fn execute_posted(
    chain: &PostedChain,
    executor: &dyn Executor,
    genesis: &ChangeSet,
) -> Result<MemoryState, ReexecutionError> {
    let mut state = MemoryState::default();
    state.apply(genesis)?;
    let mut batches = chain.batches.iter().peekable();
    for block in &chain.blocks {
        let height = block.header.height;
        let executed = executor.execute(block, &state).map_err(|error| ReexecutionError::Execute { height, error })?;
        state.apply(&executed.changes)?;
        let Some(batch) = batches.next_if(|batch| batch.header.last_height == height) else { continue };
        let (index, posted) = (batch.header.index, batch.header.state_root);
        if posted != executed.state_root {
            return Err(ReexecutionError::OtherRoot { index, height, posted, executed: executed.state_root });
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes, TxHash};
    use baton_execution::{evm::EvmExecutor, execute_all, genesis::Genesis, state::EvmState as _};
    use baton_proto::{
        BatchHash, BatchHeader, Block, BlockDigest, BlockHeader, BlsSignature, Certificate, DataKind, Epoch,
        L1BlockNumber, L1Origin, SignerSet, Statement, View,
    };

    use super::*;
    use crate::{
        driver::testing::{L2, child},
        l1::PostedBatch,
    };

    /// A batch that ends with `last`.
    fn batch(index: u64, first: &Block, last: &Block, state_root: B256) -> PostedBatch {
        let statement = Statement::Nullify { epoch: Epoch::new(2), view: View::new(1) };
        let header = BatchHeader {
            index: BatchIndex::new(index),
            prev_batch_hash: BatchHash::ZERO,
            epoch: Epoch::new(2),
            first_height: first.header.height,
            last_height: last.header.height,
            last_digest: last.header.digest(),
            last_origin: last.header.origin,
            state_root,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind: DataKind::Calldata,
            data_hash: B256::ZERO,
            duties_root: B256::ZERO,
        };
        PostedBatch {
            header,
            certificate: Certificate { statement, signers: SignerSet::EMPTY, signature: BlsSignature::new([0; 48]) },
            data: Bytes::new(),
            l1_block: L1BlockNumber::new(1),
            transaction: TxHash::ZERO,
        }
    }

    #[test]
    fn what_l1_holds_leads_to_the_roots_that_it_names_or_the_first_other_one_is_told() {
        let file = serde_json::json!({
            "chainId": L2.get(), "nativeToken": {"name": "Ether", "symbol": "ETH"}, "gasLimit": 120_000_000,
            "eip1559": {
                "baseFeePerGas": 7, "minBaseFeePerGas": 7, "elasticityMultiplier": 2, "baseFeeChangeDenominator": 8,
            },
            "alloc": { Address::repeat_byte(1).to_string(): {"balance": "5"} },
        });
        let genesis = Genesis::parse(&file.to_string()).unwrap();
        let root = BlockHeader::genesis(L2, L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO }, 1);
        let (start, executor) = (genesis.changes(&root).unwrap(), EvmExecutor::new(&genesis));
        // Every block changes the state: contracts are told of it.
        let mut blocks: Vec<Block> = Vec::new();
        for _ in 0..5 {
            blocks.push(child(blocks.last().map_or(&root, |block| &block.header), Vec::new()));
        }
        let mut state = MemoryState::default();
        state.apply(&start).unwrap();
        let roots: Vec<B256> =
            execute_all(&executor, &blocks, &state).unwrap().iter().map(|executed| executed.state_root).collect();
        let batches = vec![batch(0, &blocks[0], &blocks[1], roots[1]), batch(1, &blocks[2], &blocks[4], roots[4])];
        let chain = PostedChain { batches, blocks };
        let state = execute_posted(&chain, &executor, &start).unwrap();
        assert_eq!(state.head().unwrap().unwrap().state_root, roots[4]);

        let mut lying = chain.clone();
        lying.batches[1].header.state_root = roots[3];
        let error = execute_posted(&lying, &executor, &start).unwrap_err();
        assert!(matches!(error, ReexecutionError::OtherRoot { index, posted, executed, .. }
            if index == BatchIndex::new(1) && posted == roots[3] && executed == roots[4]));
        // Another genesis is seen at the first batch.
        let mut poorer = genesis.clone();
        poorer.accounts.remove(&Address::repeat_byte(1));
        let error = execute_posted(&chain, &executor, &poorer.changes(&root).unwrap()).unwrap_err();
        assert!(matches!(error, ReexecutionError::OtherRoot { index, .. } if index == BatchIndex::ZERO), "{error}");
        let mut holed = chain.clone();
        holed.blocks[1].header.parent = BlockDigest::ZERO;
        let error = execute_posted(&holed, &executor, &start).unwrap_err();
        assert!(matches!(error, ReexecutionError::Execute { height, .. } if height == Height::new(2)), "{error}");
    }
}
