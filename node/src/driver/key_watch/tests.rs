//! Who is taken for a former life of this node's key, and who for another speaker.

use alloy_primitives::B256;
use baton_proto::{BlockDigest, MemberIndex};

use super::*;
use crate::{
    driver::testing::World,
    signer::{OwnKey, RecordOrigin, SignRecord},
};

const ME: u8 = 1;

/// A node that is member 1 of four.
struct Node {
    world: World,
    watch: KeyWatch,
    signer: Arc<Signer>,
    _folder: tempfile::TempDir,
}

impl Node {
    fn new(origin: RecordOrigin) -> Self {
        let (world, folder) = (World::new(&[1, 1, 1, 1]), tempfile::tempdir().unwrap());
        let key = world.key(ME);
        let (path, public) = (folder.path().join("record"), key.public_key());
        let record = match origin {
            RecordOrigin::KeysNew => SignRecord::create(&path, &public),
            RecordOrigin::Override => SignRecord::create_by_override(&path, &public),
            RecordOrigin::Imported | RecordOrigin::Listening => SignRecord::create_listening(&path, &public, origin),
        };
        let signer = OwnKey::new(key, record.unwrap(), world.domain).unwrap().seated(MemberIndex::new(ME));
        let signer = Arc::new(signer);
        let watch = KeyWatch::new(Some(Arc::clone(&signer)), world.committee.epoch(), true);
        Self { world, watch, signer, _folder: folder }
    }

    fn nullify(&self, view: u64) -> Statement {
        Statement::Nullify { epoch: self.world.committee.epoch(), view: View::new(view) }
    }

    fn certificate(&self, signers: &[u8], statement: Statement) -> Verified<Certificate> {
        self.world.verifier.verify_certificate(self.world.certify(signers, statement)).unwrap()
    }

    /// A certificate of `view` comes in that holds our signature.
    fn hears_us(&mut self, view: u64, final_view: u64) -> Result<(), DriverError> {
        let certificate = self.certificate(&[0, ME, 2], self.nullify(view));
        self.watch.on_certificate(&certificate, View::new(final_view))
    }

    /// A certificate of `view` comes in that the others made.
    fn hears_others(&mut self, view: u64) {
        let certificate = self.certificate(&[0, 2, 3], self.nullify(view));
        self.watch.on_certificate(&certificate, View::ZERO).unwrap();
    }

    fn look(&mut self, is_settled: bool, current: u64) {
        self.watch.look(is_settled, View::new(current)).unwrap();
    }
}

#[test]
fn a_complete_record_stops_for_whatever_it_lacks_above_the_final_view() {
    let mut node = Node::new(RecordOrigin::KeysNew);
    assert!(!node.watch.is_arriving());
    assert_eq!(node.watch.listens_in(), None);
    node.hears_others(60);
    node.hears_us(40, 40).unwrap();
    for view in [41, 99] {
        let error = node.hears_us(view, 40).unwrap_err();
        assert!(matches!(error, DriverError::StaleSignRecord { view: of } if of == View::new(view)), "{error}");
        assert!(error.is_refusal());
    }
    node.signer.sign(&[node.nullify(99)]).unwrap();
    node.hears_us(99, 40).unwrap();
}

/// The chain data may be wiped while the record is kept: what the record forgot, it forgot because it was final.
#[test]
fn what_a_record_has_forgotten_does_not_make_it_stale() {
    let mut node = Node::new(RecordOrigin::KeysNew);
    node.signer.sign(&[node.nullify(10)]).unwrap();
    node.signer.forget_below(node.world.committee.epoch(), View::new(50)).unwrap();
    node.hears_us(10, 0).unwrap();
    node.hears_us(49, 0).unwrap();
    let error = node.hears_us(50, 0).unwrap_err();
    assert!(matches!(error, DriverError::StaleSignRecord { .. }), "{error}");
}

#[test]
fn a_record_that_listens_stops_for_what_is_said_after_it_started_to() {
    for origin in [RecordOrigin::Imported, RecordOrigin::Listening] {
        let mut node = Node::new(origin);
        assert_eq!(node.watch.listens_in(), Some(node.world.committee.epoch()));
        node.hears_us(1_000, 0).unwrap();
        // What a quorum holds is not known yet; then it is.
        let mut node = Node::new(origin);
        node.look(true, 50);
        assert!(node.watch.is_arriving(), "one look tells nothing of how long the quorum was there");
        node.hears_us(70, 0).unwrap();
        node.hears_others(60);
        node.look(true, 50);
        assert!(!node.watch.is_arriving());
        // What comes later does not move the start.
        node.hears_others(80);
        node.look(true, 90);
        for former in [1, 70, 71, 72] {
            node.hears_us(former, 0).unwrap();
        }
        // Also where the chain has gone on meanwhile.
        for final_view in [0, 90] {
            let error = node.hears_us(73, final_view).unwrap_err();
            assert!(matches!(error, DriverError::AnotherSpeaker { view } if view == View::new(73)), "{error}");
            assert!(error.is_refusal());
        }
    }
}

#[test]
fn a_single_vote_by_our_key_is_judged_as_a_certificate_is() {
    let mut node = Node::new(RecordOrigin::Listening);
    let epoch = node.world.committee.epoch();
    let vote = |node: &Node, signer: u8, view: u64| {
        let said = Statement::Notarize { epoch, view: View::new(view), block: BlockDigest::ZERO };
        node.world.verifier.verify(node.world.sign(signer, said)).unwrap()
    };
    node.look(true, 51);
    node.look(true, 51);
    node.watch.on_statement(&vote(&node, ME, 52), View::ZERO).unwrap();
    node.watch.on_statement(&vote(&node, 2, 53), View::ZERO).unwrap();
    let error = node.watch.on_statement(&vote(&node, ME, 53), View::ZERO).unwrap_err();
    assert!(matches!(error, DriverError::AnotherSpeaker { view } if view == View::new(53)), "{error}");
    let node = Node::new(RecordOrigin::KeysNew);
    let error = node.watch.on_statement(&vote(&node, ME, 52), View::ZERO).unwrap_err();
    assert!(matches!(error, DriverError::StaleSignRecord { .. }), "{error}");
}

#[test]
fn a_record_vouched_for_at_this_start_takes_up_what_it_lacks_until_this_node_signs() {
    let is_stale = |judged: Result<(), DriverError>, view: u64| matches!(judged, Err(DriverError::StaleSignRecord { view: of }) if of == View::new(view));
    let mut node = Node::new(RecordOrigin::Override);
    let epoch = node.world.committee.epoch();
    let block = |byte| BlockDigest::new(B256::repeat_byte(byte));
    let notarize = |view, byte| Statement::Notarize { epoch, view: View::new(view), block: block(byte) };
    let vote = |node: &Node, said| node.world.verifier.verify(node.world.sign(ME, said)).unwrap();
    // A former life gave the view up after it had voted in it, and others show that in whatever order.
    node.hears_us(7, 4).unwrap();
    node.watch.on_statement(&vote(&node, notarize(7, 1)), View::new(4)).unwrap();
    assert_eq!(node.signer.recorded(epoch, View::ZERO).unwrap(), [notarize(7, 1), node.nullify(7)]);
    // From now on that binds.
    let finalize = Statement::Finalize { epoch, view: View::new(7), block: block(1) };
    assert!(node.signer.sign(&[finalize]).is_err() && node.signer.sign(&[notarize(7, 2)]).is_err());
    for contradiction in [finalize, notarize(7, 2)] {
        assert!(is_stale(node.watch.on_statement(&vote(&node, contradiction), View::new(4)), 7));
    }
    assert!(is_stale(node.watch.on_certificate(&node.certificate(&[0, ME, 2], finalize), View::new(4)), 7));
    // Once this node speaks, its record is the whole one.
    node.watch.on_heard_out();
    node.hears_us(7, 4).unwrap();
    assert!(is_stale(node.hears_us(8, 4), 8));
    assert_eq!(node.signer.recorded(epoch, View::new(8)).unwrap(), []);
    // So it is in an epoch in which no quorum is heard out first.
    let signer = Arc::clone(&node.signer);
    node.watch = KeyWatch::new(Some(signer), epoch, false);
    assert!(is_stale(node.hears_us(8, 4), 8));
}

#[test]
fn listening_starts_only_when_all_stays_settled_and_ends_with_the_epoch() {
    let mut node = Node::new(RecordOrigin::Listening);
    let epoch = node.world.committee.epoch();
    let next = epoch.next().unwrap();
    for is_settled in [true, false, true, false] {
        node.look(is_settled, 6);
        assert!(node.watch.is_arriving());
        // Nobody was heard out, so it is not known which epoch is the one to be quiet in.
        assert!(node.signer.listens_in(next));
    }
    node.look(true, 6);
    node.look(true, 6);
    assert!(!node.watch.is_arriving());
    assert!(node.signer.listens_in(epoch) && !node.signer.listens_in(next));
    assert_eq!(KeyWatch::new(Some(Arc::clone(&node.signer)), epoch, true).listens_in(), Some(epoch));
    assert_eq!(KeyWatch::new(Some(Arc::clone(&node.signer)), next, true).listens_in(), None);
}

#[test]
fn a_follower_has_no_key_to_look_for() {
    let mut node = Node::new(RecordOrigin::Listening);
    node.watch = KeyWatch::new(None, node.world.committee.epoch(), true);
    assert_eq!((node.watch.listens_in(), node.watch.is_arriving()), (None, false));
    node.look(true, 9);
    node.hears_us(9, 0).unwrap();
}
