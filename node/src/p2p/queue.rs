//! A bounded queue that never makes its producer wait: when it is full, the stalest items go.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// First in, first out, for any number of producers and one consumer; bounded in items and in the sum of their weights.
pub(crate) struct DropQueue<T> {
    items: Mutex<Items<T>>,
    ready: Notify,
    count_max: usize,
    weight_max: usize,
}

struct Items<T> {
    queue: VecDeque<(usize, T)>,
    weight: usize,
}

impl<T> DropQueue<T> {
    /// Makes an empty queue for at most `count_max` items that together weigh at most `weight_max`.
    ///
    /// A single heavier item is still taken when the queue is empty otherwise; producers bound their items.
    pub(crate) fn new(count_max: usize, weight_max: usize) -> Self {
        let items = Mutex::new(Items { queue: VecDeque::new(), weight: 0 });
        Self { items, ready: Notify::new(), count_max, weight_max }
    }

    /// Appends `item` and returns how many stale items had to go for it.
    pub(crate) fn push(&self, item: T, weight: usize) -> u64 {
        let mut items = self.lock();
        let mut dropped = 0;
        while !items.queue.is_empty()
            && (items.queue.len() >= self.count_max || items.weight.saturating_add(weight) > self.weight_max)
        {
            items.pop();
            dropped += 1;
        }
        items.weight += weight;
        items.queue.push_back((weight, item));
        drop(items);
        self.ready.notify_one();
        dropped
    }

    /// Puts back what was just taken, as the stalest item, if there is still room; returns whether there was.
    pub(crate) fn put_back(&self, item: T, weight: usize) -> bool {
        let mut items = self.lock();
        if items.queue.len() >= self.count_max || items.weight.saturating_add(weight) > self.weight_max {
            return false;
        }
        items.weight += weight;
        items.queue.push_front((weight, item));
        drop(items);
        self.ready.notify_one();
        true
    }

    /// Takes the stalest item, if there is one.
    pub(crate) fn try_pop(&self) -> Option<T> {
        self.lock().pop()
    }

    /// Takes the stalest item, waiting for one. Nothing is lost when the future is dropped.
    pub(crate) async fn pop(&self) -> T {
        loop {
            if let Some(item) = self.try_pop() {
                return item;
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        // Nothing panics while the lock is held, and the items are whole between any two statements.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Items<T> {
    fn pop(&mut self) -> Option<T> {
        let (weight, item) = self.queue.pop_front()?;
        self.weight -= weight;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &DropQueue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.try_pop()).collect()
    }

    #[test]
    fn the_stalest_go_first_by_count() {
        let queue = DropQueue::new(3, usize::MAX);
        let dropped: Vec<u64> = (0..5).map(|i| queue.push(i, 1)).collect();
        assert_eq!(dropped, [0, 0, 0, 1, 1]);
        assert_eq!(drain(&queue), [2, 3, 4]);
    }

    #[test]
    fn the_stalest_go_first_by_weight() {
        let queue = DropQueue::new(100, 10);
        assert_eq!(queue.push(1, 4), 0);
        assert_eq!(queue.push(2, 4), 0);
        assert_eq!(queue.push(3, 9), 2);
        assert_eq!(drain(&queue), [3]);
        assert_eq!(queue.push(4, 11), 0, "taken alone");
        assert_eq!(queue.push(5, 1), 1);
        assert_eq!(drain(&queue), [5]);
    }

    #[test]
    fn what_is_put_back_comes_next_unless_there_is_no_room() {
        let queue = DropQueue::new(2, usize::MAX);
        queue.push(2, 1);
        assert!(queue.put_back(1, 1));
        assert!(!queue.put_back(0, 1));
        assert_eq!(drain(&queue), [1, 2]);
    }

    #[tokio::test]
    async fn a_waiting_consumer_wakes() {
        let queue = std::sync::Arc::new(DropQueue::new(2, usize::MAX));
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.pop().await }
        });
        tokio::task::yield_now().await;
        queue.push(7, 1);
        assert_eq!(waiting.await.unwrap(), 7);
    }
}
