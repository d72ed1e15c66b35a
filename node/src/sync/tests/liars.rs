//! Runs with a member that lies, one for each way of lying.

use super::{
    Chain, peer,
    plan::REFUSALS,
    runs::{all, from_genesis, start},
    servers::{Servers, Way},
};
use crate::sync::plan::REQUESTS_PER_PEER;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_liar_is_charged_and_dropped_and_the_others_serve() {
    for lie in Way::LIES {
        let servers = Servers::new(Chain::new(1_500), &[lie, Way::Honest, Way::Honest]);
        let blocks = all(start(&servers, from_genesis())).await;
        assert!(blocks == servers.chain().0, "{lie:?}: {} of {} blocks", blocks.len(), servers.chain().0.len());
        let seen = servers.seen();
        let asked = seen.asked[&peer(0)].len();
        // A second question can be on its way when the first lie is found out.
        assert!((1..=2).contains(&asked), "{lie:?}: asked {asked} times");
        // An answer that the others were faster than may still be on its way when the run ends.
        let charged = seen.charges.get(&peer(0)).copied().unwrap_or_default();
        assert!((1..=u32::try_from(asked).unwrap()).contains(&charged), "{lie:?}: charged {charged} times");
        assert_eq!(seen.charges.len(), 1, "{lie:?}: an honest member was charged: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_about_the_target_is_found_out() {
    // Nobody else is there to ask: it is charged, dropped, and the run ends.
    let servers = Servers::new(Chain::new(600), &[Way::OtherBlock]);
    all(start(&servers, from_genesis())).await;
    let seen = servers.seen();
    assert_eq!(seen.charges.get(&peer(0)), Some(&1), "{seen:?}");

    let servers = Servers::new(Chain::new(600), &[Way::OtherBlock, Way::Honest]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
    let seen = servers.seen();
    // It may be asked for ranges alone if the honest member was asked for the target first; it serves those.
    assert!(seen.charges.len() <= 1 && !seen.charges.contains_key(&peer(1)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_answers_holds_nobody_up() {
    let servers = Servers::new(Chain::new(1_500), &[Way::Silent, Way::Honest, Way::Honest]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
    let seen = servers.seen();
    assert!(!seen.asked[&peer(0)].is_empty());
    assert!(seen.charges.is_empty(), "slowness proves nothing: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_asked_no_more() {
    let servers = Servers::new(Chain::new(3_000), &[Way::TimesOut, Way::Honest]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
    let seen = servers.seen();
    // Two at once may be on their way to the third strike.
    assert!(seen.asked[&peer(0)].len() <= 4 && seen.charges.is_empty(), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_promises_and_does_not_serve_is_asked_no_more() {
    // Alone it cannot even keep the run going: the run ends, and the next certificate starts another.
    let servers = Servers::new(Chain::new(600), &[Way::PromisesOnly]);
    assert!(all(start(&servers, from_genesis())).await.is_empty());
    let seen = servers.seen();
    // The last refusal may find further questions on their way.
    let asked = seen.asked[&peer(0)].len();
    assert!((REFUSALS..REFUSALS + REQUESTS_PER_PEER).contains(&asked), "asked {asked} times");
    assert!(seen.charges.is_empty(), "having nothing is no fault: {seen:?}");

    let servers = Servers::new(Chain::new(1_500), &[Way::PromisesOnly, Way::Honest]);
    assert_eq!(all(start(&servers, from_genesis())).await, servers.chain().0);
}

#[tokio::test(flavor = "multi_thread")]
async fn among_liars_alone_nothing_is_taken_and_the_run_ends() {
    let servers = Servers::new(Chain::new(600), &[Way::ForgedCertificate, Way::BrokenLinks, Way::LightCertificate]);
    assert!(all(start(&servers, from_genesis())).await.is_empty());
    assert_eq!(servers.seen().charges.len(), 3);
}
