//! What the deployed inbox accepts from Rust, and how it names everything else.

use alloy_primitives::{B256, Bytes, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use baton_consensus::DutyTable;
use baton_proto::{
    Attestation, BatchHash, BatchHeader, Block, Certificate, DataKind, Domain, Epoch, L1ChainId, Statement, batch_data,
};

use crate::{
    batcher::{Roots, Situation},
    l1::{
        At, Call, Had, InboxTip, L1Error, ReplayError, RevertReason,
        bindings::{BatchInbox, SequencerRegistry, post_call},
        deploy, posted_batches, read_posted_chain,
        testing::{TestChain, account, anvil_call},
    },
    ledger::{BatchOnL1, BatchRecord},
};

struct Candidate {
    header: BatchHeader,
    data: Bytes,
}

fn batch(chain: &TestChain, tip: &InboxTip, blocks: &[Block], duties: &mut DutyTable) -> Candidate {
    let data = batch_data::encode(blocks).unwrap();
    for block in blocks {
        assert!(duties.extend(&chain.leaders, &block.header));
    }
    let situation = Situation::new(&chain.facts, chain.facts.first.epoch, tip, tip.accepted_at, None);
    Candidate {
        header: situation
            .header((DataKind::Calldata, keccak256(&data)), blocks, Roots { state: B256::ZERO, duties: duties.root() })
            .unwrap(),
        data: data.into(),
    }
}

async fn post(chain: &TestChain, call: BatchInbox::postCall) -> Result<(), RevertReason> {
    let data: Bytes = call.abi_encode().into();
    match chain.client.simulate(account(9).address(), &Call::plain(chain.facts.inbox, data)).await {
        Ok(()) => Ok(()),
        Err(L1Error::Reverted { reason, .. }) => Err(*reason),
        Err(error) => panic!("{error}"),
    }
}

async fn post_with(chain: &TestChain, batch: &Candidate, certificate: &Certificate) -> Result<(), RevertReason> {
    post(chain, post_call(&batch.header, certificate, batch.data.clone()).unwrap()).await
}

fn registry_error(result: Result<(), RevertReason>) -> SequencerRegistry::SequencerRegistryErrors {
    match result {
        Err(RevertReason::Registry(error)) => *error,
        other => panic!("expected an error of the registry, got {other:?}"),
    }
}

fn inbox_error(result: Result<(), RevertReason>) -> BatchInbox::BatchInboxErrors {
    match result {
        Err(RevertReason::Inbox(error)) => error,
        other => panic!("expected an error of the inbox, got {other:?}"),
    }
}

async fn send(chain: &TestChain, to: alloy_primitives::Address, data: Vec<u8>) {
    deploy::send(&chain.client, &account(9), to, data.into(), "a test's call").await.unwrap();
}

#[tokio::test]
async fn batches_are_accepted_in_order_and_everything_else_is_named() {
    use BatchInbox::BatchInboxErrors as I;
    use SequencerRegistry::SequencerRegistryErrors as R;

    let chain = TestChain::start().await;
    let facts = &chain.facts;
    let blocks = chain.blocks_after(&facts.genesis, 12, 3);
    let mut duties = DutyTable::new(&chain.committee);
    let tip = InboxTip::genesis(facts);
    let first = batch(&chain, &tip, &blocks[..8], &mut duties);
    let good = chain.attested(&first.header);
    let attest = good.statement;

    // The committee has to stand on L1 before the first batch of its epoch.
    assert!(matches!(registry_error(post_with(&chain, &first, &good).await), R::SequencerRegistry__NotMaterialized(_)));
    send(&chain, chain.deployment.registry, SequencerRegistry::materializeCall { epoch: 2 }.abi_encode()).await;

    // Too little weight: the two heaviest of four have 60 of 100.
    let mut by_weight: Vec<u8> = (0..4).collect();
    by_weight.sort_by_key(|index| std::cmp::Reverse(facts.first.committee[usize::from(*index)].weight));
    let light = chain.certificate(attest, &by_weight[..2], &facts.domain);
    let R::SequencerRegistry__InsufficientWeight(error) = registry_error(post_with(&chain, &first, &light).await)
    else {
        panic!()
    };
    assert_eq!((error.signed, error.total), (U256::from(60_000_000), U256::from(100_000_000)));

    // A bit beyond the committee.
    let mut call = post_call(&first.header, &good, first.data.clone()).unwrap();
    call.certificate.bitmap |= U256::from(1) << 4;
    let R::SequencerRegistry__SignerOutOfRange(error) = registry_error(post(&chain, call).await) else { panic!() };
    assert_eq!((error.bitmap, error.members), (U256::from(0b11111), U256::from(4)));

    // Nobody signed.
    let mut call = post_call(&first.header, &good, first.data.clone()).unwrap();
    call.certificate.bitmap = U256::ZERO;
    assert!(matches!(registry_error(post(&chain, call).await), R::SequencerRegistry__EmptyBitmap(_)));

    // A wrong epoch, of the committee and of the batch.
    let other = Statement::Attest(Attestation {
        committee_epoch: Epoch::new(3),
        ..Attestation::of(Epoch::new(3), &first.header)
    });
    let wrong = chain.certificate(other, &[0, 1, 2, 3], &facts.domain);
    let I::BatchInbox__WrongCommitteeEpoch(error) = inbox_error(post_with(&chain, &first, &wrong).await) else {
        panic!()
    };
    assert_eq!((error.oldest, error.newest, error.got), (2, 2, 3));
    let later =
        Candidate { header: BatchHeader { epoch: Epoch::new(9), ..first.header.clone() }, data: first.data.clone() };
    let certificate = chain.attested(&later.header);
    assert!(matches!(inbox_error(post_with(&chain, &later, &certificate).await), I::BatchInbox__EpochNotRunning(_)));

    // Signatures that do not fit: of another member, of a forger, for another L1 chain, for another registry.
    let invalid = |result| matches!(registry_error(result), R::SequencerRegistry__InvalidSignature(_));
    let mut wrong = chain.certificate(attest, &[0, 1, 2], &facts.domain);
    wrong.signers = [0, 1, 3].into_iter().map(baton_proto::MemberIndex::new).collect();
    let enough = chain.committee.is_quorum(wrong.signers);
    assert!(enough, "the bitmap alone would pass");
    assert!(invalid(post_with(&chain, &first, &wrong).await));
    let forger = baton_consensus::SecretKey::generate(&[99; 32]);
    let forged = Certificate { signature: forger.sign(&attest, &facts.domain), ..good.clone() };
    assert!(invalid(post_with(&chain, &first, &forged).await));
    let elsewhere = Domain { l1_chain_id: L1ChainId::new(1), ..facts.domain };
    assert!(invalid(post_with(&chain, &first, &chain.certificate(attest, &[0, 1, 2, 3], &elsewhere)).await));
    let elsewhere = Domain { registry: alloy_primitives::Address::repeat_byte(7), ..facts.domain };
    assert!(invalid(post_with(&chain, &first, &chain.certificate(attest, &[0, 1, 2, 3], &elsewhere)).await));
    let elsewhere = Domain { l2_chain_id: baton_proto::L2ChainId::new(1), ..facts.domain };
    assert!(invalid(post_with(&chain, &first, &chain.certificate(attest, &[0, 1, 2, 3], &elsewhere)).await));

    // Data other than the header's.
    let error = inbox_error(post(&chain, post_call(&first.header, &good, Bytes::from_static(b"other")).unwrap()).await);
    assert!(matches!(error, I::BatchInbox__WrongDataHash(_)));

    // The good one, with the smallest quorum, really posted.
    let quorum = chain.certificate(attest, &by_weight[..3], &facts.domain);
    let call = post_call(&first.header, &quorum, first.data.clone()).unwrap();
    send(&chain, facts.inbox, call.abi_encode()).await;

    // Not the next one any more; and what follows must follow.
    let I::BatchInbox__NotNextBatch(error) = inbox_error(post_with(&chain, &first, &good).await) else { panic!() };
    assert_eq!((error.expected, error.got), (1, 0));
    let tip = crate::l1::read_tip(&chain.client, facts, crate::l1::At::Latest).await.unwrap();
    assert_eq!((tip.last_height, tip.last_hash), (first.header.last_height, first.header.hash()));
    let second = batch(&chain, &tip, &blocks[8..], &mut duties);
    let loose = Candidate {
        header: BatchHeader { prev_batch_hash: BatchHash::new(B256::repeat_byte(1)), ..second.header.clone() },
        data: second.data.clone(),
    };
    let refused = post_with(&chain, &loose, &chain.attested(&loose.header)).await;
    assert!(refused.as_ref().is_err_and(RevertReason::is_not_next), "{refused:?}");
    let call = post_call(&second.header, &chain.attested(&second.header), second.data.clone()).unwrap();
    send(&chain, facts.inbox, call.abi_encode()).await;

    // And anyone reads the whole chain back from L1 alone.
    let replayed = read_posted_chain(&chain.client, facts).await.unwrap();
    assert_eq!(replayed.blocks, blocks);
    let headers: Vec<&BatchHeader> = replayed.batches.iter().map(|batch| &batch.header).collect();
    assert_eq!(headers, [&first.header, &second.header]);
    assert_eq!(replayed.batches[0].certificate, quorum);
}

/// An inbox of these contracts takes no such transaction; an older one did, and then nobody got beyond it.
#[tokio::test]
async fn where_a_transaction_shows_no_batch_a_nodes_own_record_does() {
    let chain = TestChain::start().await;
    let facts = &chain.facts;
    let blocks = chain.blocks_after(&facts.genesis, 3, 1);
    let batch = batch(&chain, &InboxTip::genesis(facts), &blocks, &mut DutyTable::new(&chain.committee));
    let event = BatchInbox::BatchPosted {
        index: 0,
        batchHash: batch.header.hash().get(),
        epoch: batch.header.epoch.get(),
        firstHeight: 1,
        lastHeight: 3,
        dataKind: 1,
        dataHash: batch.header.data_hash,
    };
    // Whatever is called in place of the inbox: a log of three topics that come first, and of the rest.
    let tells = Bytes::from(hex!("604035602035600035606036038060606000376000a300"));
    anvil_call(&chain.client, "anvil_setCode", (facts.inbox, tells)).await;
    let log = event.encode_log_data();
    let topics: Vec<u8> = log.topics().iter().flat_map(|topic| topic.0).collect();
    send(&chain, facts.inbox, [&topics[..], &log.data[..]].concat()).await;

    let head = chain.client.existing_block(At::Latest).await.unwrap().origin.number;
    let read = async |had: Had| posted_batches(&chain.client, facts, facts.genesis_l1, head, |_, _| had.clone()).await;
    let error = read(Had::Nothing).await.unwrap_err();
    assert!(matches!(error, ReplayError::Binding { .. }) && !error.is_retryable(), "{error}");
    let own = BatchRecord {
        header: batch.header.clone(),
        data: batch.data.clone(),
        certificate: None,
        l1: BatchOnL1::Unposted,
    };
    let error = read(Had::Record(Box::new(own.clone()))).await.unwrap_err();
    assert!(!error.is_retryable(), "nobody here knows who certified it: {error}");
    let certified = BatchRecord { certificate: Some(chain.attested(&batch.header)), ..own };
    let [posted] = &read(Had::Record(Box::new(certified.clone()))).await.unwrap()[..] else { panic!("one batch") };
    assert_eq!((&posted.header, &posted.data), (&batch.header, &batch.data));
    assert_eq!(Some(&posted.certificate), certified.certificate.as_ref());
    assert_eq!(posted.l1_block, head);
}
