//! What a range must show.

use baton_consensus::VerifyError;
use baton_proto::{Block, Epoch, Height, Statement, View, wire::FinalRange};

use super::{Chain, EPOCHS, certificate_by, child, finalization, finalization_by, verifier};
use crate::sync::{RangeError, prove_range};

/// The block after `parent` that ends the epoch: it names an L1 block of the next one.
fn last_after(parent: &Block) -> Block {
    let mut last = child(&parent.header, vec![]);
    last.header.origin.number = EPOCHS.start(Epoch::new(3));
    last
}

#[test]
fn a_range_goes_up_to_the_epochs_last_block_and_no_further() {
    let verifier = verifier();
    let prove = |blocks: Vec<Block>, tail: Vec<Block>| {
        let top = tail.last().unwrap_or(blocks.last().unwrap()).header.clone();
        let tail = tail.into_iter().map(|block| block.header).collect();
        let range = FinalRange { finalization: finalization(&top), blocks, tail };
        prove_range(range, Height::new(1), 8, &verifier, EPOCHS)
    };
    let mut blocks = Chain::new(3).0;
    blocks.push(last_after(&blocks[2]));
    assert_eq!(prove(blocks.clone(), vec![]).unwrap().last().0, Height::new(4));
    assert_eq!(prove(blocks[..3].to_vec(), blocks[3..].to_vec()).unwrap().certified, blocks[3].header);

    // Proposed again, it is final in a later view than its own; no other block is.
    let in_view = |block: &Block, view: u64| {
        let statement =
            Statement::Finalize { epoch: Epoch::new(2), view: View::new(view), block: block.header.digest() };
        let finalization = certificate_by(statement, &[0, 1, 2]);
        let range = FinalRange { blocks: vec![block.clone()], tail: vec![], finalization };
        prove_range(range, block.header.height, 1, &verifier, EPOCHS).map(|_| ())
    };
    let own = blocks[3].header.view.get();
    assert_eq!((in_view(&blocks[3], own), in_view(&blocks[3], own + 2)), (Ok(()), Ok(())));
    let wrong = |block: &Block| Err(RangeError::WrongCertificate { expected: block.header.digest() });
    assert_eq!(in_view(&blocks[3], own - 1), wrong(&blocks[3]));
    assert_eq!(in_view(&blocks[2], own), wrong(&blocks[2]));

    let after = child(&blocks[3].header, vec![]);
    let past = RangeError::PastTheEnd { end: Height::new(4) };
    assert!(past.is_peer_fault());
    assert_eq!(prove([blocks.clone(), vec![after.clone()]].concat(), vec![]).unwrap_err(), past);
    assert_eq!(prove(blocks[..2].to_vec(), [blocks[2..].to_vec(), vec![after.clone()]].concat()).unwrap_err(), past);

    // Of the next epoch's blocks this committee's certificate says nothing.
    let mut of_next = after;
    of_next.header.epoch = Epoch::new(3);
    let error = prove([blocks, vec![of_next]].concat(), vec![]).unwrap_err();
    let (got, expected) = (Epoch::new(3), Epoch::new(2));
    assert_eq!(error, RangeError::OtherEpoch { height: Height::new(5), got, expected });
    assert!(!error.is_peer_fault(), "an honest peer that is further along serves such a range");
}

#[test]
fn a_range_is_proven_by_its_last_header_and_by_nothing_else() {
    let (chain, verifier) = (Chain::new(20), verifier());
    let height = Height::new;
    let prove = |range: FinalRange| prove_range(range, height(5), 8, &verifier, EPOCHS);
    let good = chain.range(5, 8).unwrap();
    let proven = prove(good.clone()).unwrap();
    assert_eq!(proven.last(), (height(12), chain.block(12).unwrap().header.digest()));
    assert_eq!(proven.parent(), chain.block(4).unwrap().header.digest());
    assert_eq!(proven.certified, chain.block(12).unwrap().header);

    // Proven through a descendant.
    let tail: Vec<_> = (13..=20).map(|at| chain.block(at).unwrap().header.clone()).collect();
    let with_tail = FinalRange { tail, finalization: finalization(chain.head()), ..good.clone() };
    let proven = prove(with_tail.clone()).unwrap();
    assert_eq!((proven.last().0, proven.certified.height), (height(12), height(20)));

    let refused = |range| {
        let error = prove(range).unwrap_err();
        assert!(error.is_peer_fault(), "{error}");
        error
    };
    assert_eq!(refused(FinalRange { blocks: vec![], ..good.clone() }), RangeError::Empty);
    let error = prove_range(good.clone(), height(6), 8, &verifier, EPOCHS).unwrap_err();
    assert_eq!(error, RangeError::NotAsked { got: height(5), asked: height(6) });
    let error = prove_range(good.clone(), height(5), 7, &verifier, EPOCHS).unwrap_err();
    assert_eq!(error, RangeError::TooMany { got: 8, asked: 7 });
    let mut gap = good.clone();
    gap.blocks.remove(3);
    assert_eq!(refused(gap), RangeError::Broken { height: height(9) });
    let mut gap = with_tail.clone();
    gap.tail.remove(0);
    assert_eq!(refused(gap), RangeError::Broken { height: height(14) });
    let mut other = good.clone();
    other.blocks[4].header.declared_gas += 1;
    assert_eq!(refused(other), RangeError::Broken { height: height(10) });

    let expected = chain.block(12).unwrap().header.digest();
    let wrong = |finalization| refused(FinalRange { finalization, ..good.clone() });
    assert_eq!(wrong(finalization(&chain.block(11).unwrap().header)), RangeError::WrongCertificate { expected });
    let mut nullification = good.finalization.clone();
    nullification.statement = Statement::Nullify { epoch: Epoch::new(2), view: good.blocks[7].header.view };
    assert_eq!(wrong(nullification), RangeError::WrongCertificate { expected });
    let light = finalization_by(&good.blocks[7].header, &[1, 2]);
    assert!(matches!(
        wrong(light),
        RangeError::InvalidCertificate(VerifyError::BelowQuorum { signed: 50, total: 100 })
    ));
    let mut forged = good.finalization.clone();
    forged.signature = finalization(&child(chain.head(), vec![]).header).signature;
    assert_eq!(wrong(forged), RangeError::InvalidCertificate(VerifyError::InvalidSignature));
}
