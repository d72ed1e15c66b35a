//! Asking members for a whole block: one after the other, but nobody waits for a silent one.

use std::time::Duration;

use baton_proto::{
    Block, BlockDigest, MemberIndex,
    wire::{SyncRequest, SyncResponse},
};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::interval;

use super::rebuild::Servers;

/// Times all members are asked for one block before the machine's own retry asks again.
const FETCH_ROUNDS: usize = 2;

/// How long one member is waited for before the next is asked as well. A body that a quorum voted for holds up the view of
/// whoever lacks it, and members that stay silent on purpose must not make that last.
const NEXT_AFTER: Duration = Duration::from_millis(500);

/// Returns in which order `members` are asked for `block`: `first`, then the others from one on that differs from block to
/// block, so that nobody can place itself ahead of the honest ones.
pub(super) fn order(
    members: impl Iterator<Item = MemberIndex>,
    first: Option<MemberIndex>,
    block: &BlockDigest,
) -> Vec<MemberIndex> {
    let mut others: Vec<MemberIndex> = members.filter(|member| Some(*member) != first).collect();
    let start = usize::from(block.get()[31]).checked_rem(others.len()).unwrap_or(0);
    others.rotate_left(start);
    first.into_iter().chain(others).collect()
}

/// Returns the first true answer, or nothing when all have been asked in vain.
pub(super) async fn fetch<S: Servers>(servers: &S, order: &[MemberIndex], block: BlockDigest) -> Option<Block> {
    let ask = |member| async move {
        match servers.ask(member, SyncRequest::Block(block)).await {
            Ok(SyncResponse::Block(Some(found))) if found.header.digest() == block => Some(found),
            _ => None,
        }
    };
    let mut next = order.iter().copied().cycle().take(order.len().saturating_mul(FETCH_ROUNDS));
    let mut asked = FuturesUnordered::new();
    let mut turn = interval(NEXT_AFTER);
    let mut all_asked = false;
    loop {
        tokio::select! {
            biased;
            Some(answer) = asked.next() => match answer {
                Some(found) => return Some(found),
                None => turn.reset_immediately(),
            },
            _ = turn.tick(), if !all_asked => match next.next() {
                Some(member) => asked.push(ask(member)),
                None => all_asked = true,
            },
            else => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Mutex};

    use super::*;
    use crate::{
        driver::testing::block_of,
        p2p::{Fault, RequestError},
    };

    /// Members that never answer, members that have nothing, and one that serves.
    struct Members {
        silent: HashSet<u8>,
        serving: Option<(u8, Block)>,
        asked: Mutex<Vec<u8>>,
    }

    impl Servers for Members {
        async fn ask(&self, member: MemberIndex, _: SyncRequest) -> Result<SyncResponse, RequestError> {
            self.asked.lock().unwrap().push(member.get());
            if self.silent.contains(&member.get()) {
                std::future::pending::<()>().await;
            }
            let found = self.serving.as_ref().filter(|(server, _)| *server == member.get());
            Ok(SyncResponse::Block(found.map(|(_, block)| block.clone())))
        }

        fn charge(&self, _: MemberIndex, _: Fault) {}
    }

    fn members(count: u8) -> Vec<MemberIndex> {
        (0..count).map(MemberIndex::new).collect()
    }

    #[tokio::test]
    async fn silent_members_do_not_hold_up_the_one_that_serves() {
        let block = block_of(1, 7, vec![]);
        let servers = Members { silent: (0..3).collect(), serving: Some((3, block.clone())), asked: Mutex::default() };
        let digest = block.header.digest();
        let limit = Duration::from_secs(60);
        let found = tokio::time::timeout(limit, fetch(&servers, &members(4), digest)).await.unwrap();
        assert_eq!(found, Some(block));
        assert_eq!(*servers.asked.lock().unwrap(), [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn all_are_asked_twice_and_a_false_block_is_none() {
        let block = block_of(1, 7, vec![]);
        let other = block_of(1, 8, vec![]);
        let servers = Members { silent: HashSet::new(), serving: Some((1, other)), asked: Mutex::default() };
        assert_eq!(fetch(&servers, &members(3), block.header.digest()).await, None);
        assert_eq!(*servers.asked.lock().unwrap(), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_one_who_should_know_is_first_and_the_rest_follow_in_turn() {
        let digest = block_of(1, 7, vec![]).header.digest();
        let asked = order(members(5).into_iter(), Some(MemberIndex::new(4)), &digest);
        assert_eq!(asked[0], MemberIndex::new(4));
        let mut sorted = asked.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, members(5));
        assert!(order(std::iter::empty(), None, &digest).is_empty());
    }
}
