//! What a range must show.

use baton_consensus::VerifyError;
use baton_proto::{Epoch, Height, Statement, wire::FinalRange};

use super::{Chain, child, finalization, finalization_by, verifier};
use crate::sync::{RangeError, prove_range};

#[test]
fn a_range_is_proven_by_its_last_header_and_by_nothing_else() {
    let (chain, verifier) = (Chain::new(20), verifier());
    let height = Height::new;
    let prove = |range: FinalRange| prove_range(range, height(5), 8, &verifier);
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
    let error = prove_range(good.clone(), height(6), 8, &verifier).unwrap_err();
    assert_eq!(error, RangeError::NotAsked { got: height(5), asked: height(6) });
    let error = prove_range(good.clone(), height(5), 7, &verifier).unwrap_err();
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
