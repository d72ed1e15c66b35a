use std::collections::{HashMap, VecDeque};

use baton_proto::{Statement, limits::TRANSACTIONS_BYTES_TARGET};

use super::*;
use crate::driver::testing::{World, block_of, transfer};

/// Limit of every wait; a test that is well takes a fraction of it.
const LIMIT: Duration = Duration::from_secs(60);

const LEADER: MemberIndex = MemberIndex::new(0);
const VIEW: u64 = 7;

/// What one member says to a question.
enum Answer {
    /// The wanted transactions of this block, at most so many.
    Serves(Box<Block>, usize),
    Refuses,
    /// Never says anything.
    Silent,
    /// Serves these bytes, whatever is asked.
    Lies(Vec<Bytes>),
}

/// Members by index with their answers, and what happened.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<FakeState>>);

#[derive(Default)]
struct FakeState {
    answers: HashMap<MemberIndex, Answer>,
    asked: VecDeque<(MemberIndex, Vec<u32>)>,
    charged: Vec<(MemberIndex, Fault)>,
}

impl Fake {
    fn answer(&self, member: u8, answer: Answer) {
        self.0.lock().unwrap().answers.insert(MemberIndex::new(member), answer);
    }

    fn asked(&self) -> Vec<(MemberIndex, Vec<u32>)> {
        self.0.lock().unwrap().asked.iter().cloned().collect()
    }

    fn charged(&self) -> Vec<(MemberIndex, Fault)> {
        self.0.lock().unwrap().charged.clone()
    }
}

impl Servers for Fake {
    fn ask(
        &self,
        member: MemberIndex,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send {
        let SyncRequest::Transactions { indices, .. } = request else { panic!("{request:?}") };
        let mut state = self.0.lock().unwrap();
        let answer = match state.answers.get(&member) {
            Some(Answer::Serves(block, count)) => {
                let raw = |index: &u32| block.transactions[*index as usize].raw().clone();
                Some(Ok(SyncResponse::Transactions(indices.iter().take(*count).map(raw).collect())))
            }
            Some(Answer::Refuses) | None => Some(Ok(SyncResponse::Unavailable)),
            Some(Answer::Lies(raw)) => Some(Ok(SyncResponse::Transactions(raw.clone()))),
            Some(Answer::Silent) => None,
        };
        state.asked.push_back((member, indices));
        async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
    }

    fn charge(&self, member: MemberIndex, fault: Fault) {
        self.0.lock().unwrap().charged.push((member, fault));
    }
}

struct Test {
    world: World,
    fake: Fake,
    window: Arc<ViewWindow>,
    rebuilder: Rebuilder<Fake>,
    whole: mpsc::Receiver<Checked>,
}

impl Test {
    /// Member 3 of four, whose pool holds `pool`.
    fn with_pool(pool: &[Transaction]) -> Self {
        let pool: HashMap<TxHash, Transaction> = pool.iter().map(|tx| (*tx.hash(), tx.clone())).collect();
        let known: KnownLookup = Arc::new(move |hash: &TxHash| pool.get(hash).cloned());
        let window = Arc::new(ViewWindow::default());
        window.set(View::new(VIEW - 1), View::new(VIEW));
        let (checked, whole) = mpsc::channel(16);
        let fake = Fake::default();
        let others = (0..3).map(MemberIndex::new).collect();
        let rebuilder = Rebuilder::new(fake.clone(), known, Arc::clone(&window), others, checked);
        Self { world: World::new(&[1, 1, 1, 1]), fake, window, rebuilder, whole }
    }

    fn begin(&self, block: &Block) -> Result<Checked, &'static str> {
        let statement =
            Statement::Notarize { epoch: block.header.epoch, view: block.header.view, block: block.header.digest() };
        let notarize = self.world.verifier.verify(self.world.sign(0, statement)).unwrap();
        let hashes = block.transactions.iter().map(|tx| *tx.hash()).collect();
        self.rebuilder.begin(block.header.clone(), notarize, block.forced.clone(), hashes)
    }

    /// Waits for the block that was gathered.
    async fn gathered(&mut self) -> Arc<Block> {
        match timeout(LIMIT, self.whole.recv()).await.expect("in time") {
            Some(Checked::Proposal { block, .. }) => block,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the gathering of `block` has ended in vain.
    async fn given_up(&mut self, block: &Block) {
        let ended = timeout(LIMIT, self.rebuilder.gathered(&block.header.digest())).await.expect("in time");
        assert!(ended.is_none() && self.whole.try_recv().is_err());
    }
}

fn transfers(count: u64) -> Vec<Transaction> {
    (0..count).map(|nonce| transfer(nonce, 0)).collect()
}

fn is_alone(checked: &Checked) -> bool {
    matches!(checked, Checked::Vote { vote, leader: None } if vote.signer == LEADER)
}

#[tokio::test]
async fn with_all_in_the_pool_nobody_is_asked() {
    let block = block_of(5, VIEW, transfers(20));
    let mut test = Test::with_pool(&block.transactions);
    let Ok(Checked::Proposal { block: whole, notarize }) = test.begin(&block) else { panic!("not whole") };
    assert!(*whole == block && notarize.signer == LEADER);
    assert!(test.fake.asked().is_empty() && test.whole.try_recv().is_err());
}

#[tokio::test]
async fn what_is_missing_is_asked_of_the_leader_by_its_place() {
    let block = block_of(5, VIEW, transfers(20));
    let missing = [3_usize, 4, 19];
    let pool: Vec<Transaction> =
        (0..20).filter(|place| !missing.contains(place)).map(|place| block.transactions[place].clone()).collect();
    let mut test = Test::with_pool(&pool);
    test.fake.answer(0, Answer::Serves(block.clone().into(), usize::MAX));
    assert!(is_alone(&test.begin(&block).unwrap()));
    assert_eq!(*test.gathered().await, block);
    assert_eq!(test.fake.asked(), [(LEADER, vec![3, 4, 19])]);
    // The same proposal again costs nothing any more, and neither does fetching the block by its digest.
    assert!(matches!(test.begin(&block), Ok(Checked::Proposal { .. })));
    assert_eq!(test.rebuilder.gathered(&block.header.digest()).await.as_deref(), Some(&block));
    assert_eq!(test.fake.asked().len(), 1);
}

#[tokio::test]
async fn a_block_of_which_nothing_is_known_comes_in_several_answers() {
    let block = block_of(5, VIEW, transfers(50));
    let mut test = Test::with_pool(&[]);
    test.fake.answer(0, Answer::Serves(block.clone().into(), 20));
    assert!(is_alone(&test.begin(&block).unwrap()));
    assert_eq!(*test.gathered().await, block);
    let asked: Vec<usize> = test.fake.asked().iter().map(|(_, indices)| indices.len()).collect();
    assert_eq!(asked, [50, 30, 10]);
}

#[tokio::test]
async fn others_serve_what_the_leader_withholds() {
    let block = block_of(5, VIEW, transfers(10));
    for withheld in [Answer::Refuses, Answer::Silent] {
        let mut test = Test::with_pool(&[]);
        test.fake.answer(0, withheld);
        test.fake.answer(2, Answer::Serves(block.clone().into(), usize::MAX));
        test.begin(&block).unwrap();
        assert_eq!(*test.gathered().await, block);
        assert!(test.fake.charged().is_empty());
    }
}

#[tokio::test]
async fn a_member_that_serves_something_else_is_charged_and_another_asked() {
    let block = block_of(5, VIEW, transfers(4));
    let raw = |place: usize| block.transactions[place].raw().clone();
    let lies = [
        vec![raw(1), raw(0)],
        vec![raw(0), raw(1), raw(2), raw(3), raw(3)],
        vec![Bytes::from_static(b"no transaction")],
    ];
    for lie in lies {
        let mut test = Test::with_pool(&[]);
        test.fake.answer(0, Answer::Lies(lie));
        test.fake.answer(1, Answer::Serves(block.clone().into(), usize::MAX));
        test.begin(&block).unwrap();
        assert_eq!(*test.gathered().await, block);
        assert_eq!(test.fake.charged(), [(LEADER, Fault::InvalidAnswer)]);
    }
}

#[tokio::test]
async fn a_header_that_commits_to_other_bytes_or_gas_is_the_leaders_fault() {
    let good = block_of(5, VIEW, transfers(6));
    let changes: [&dyn Fn(&mut BlockHeader); 3] =
        [&|header| header.payload_bytes += 1, &|header| header.declared_gas -= 1, &|header| {
            header.payload_root = alloy_primitives::B256::ZERO
        }];
    for change in changes {
        let mut block = good.clone();
        change(&mut block.header);
        // Known in full, it is refused at once.
        let test = Test::with_pool(&good.transactions);
        assert!(test.begin(&block).is_err());
        // Otherwise as soon as it is whole.
        let mut test = Test::with_pool(&good.transactions[1..]);
        test.fake.answer(0, Answer::Serves(good.clone().into(), usize::MAX));
        assert!(is_alone(&test.begin(&block).unwrap()));
        test.given_up(&block).await;
        assert_eq!(test.fake.charged(), [(LEADER, Fault::InvalidMessage)]);
    }
}

#[tokio::test]
async fn bytes_that_are_no_transaction_are_the_leaders_fault_though_another_serves_them() {
    let bad = Bytes::from_static(b"ordered, but no transaction");
    let mut header = block_of(5, VIEW, transfers(1)).header;
    header.payload_root = keccak256(&bad);
    let mut test = Test::with_pool(&[]);
    test.fake.answer(1, Answer::Lies(vec![bad.clone()]));
    let statement = Statement::Notarize { epoch: header.epoch, view: header.view, block: header.digest() };
    let notarize = test.world.verifier.verify(test.world.sign(0, statement)).unwrap();
    test.rebuilder.begin(header.clone(), notarize, Forced::default(), vec![keccak256(&bad)]).unwrap();
    test.given_up(&Block { header, forced: Forced::default(), transactions: vec![] }).await;
    assert_eq!(test.fake.charged(), [(LEADER, Fault::InvalidMessage)]);
}

#[tokio::test]
async fn no_more_bytes_are_gathered_than_a_block_may_have() {
    let block = block_of(5, VIEW, (0..17).map(|nonce| transfer(nonce, 128 * 1024 - 200)).collect());
    let mut test = Test::with_pool(&[]);
    test.fake.answer(0, Answer::Serves(block.clone().into(), 1 + TRANSACTIONS_BYTES_TARGET / (128 * 1024)));
    test.begin(&block).unwrap();
    test.given_up(&block).await;
    assert_eq!(test.fake.charged(), [(LEADER, Fault::InvalidMessage)]);
    // Nor taken from the pool.
    assert!(Test::with_pool(&block.transactions).begin(&block).is_err());
}

#[tokio::test]
async fn only_the_first_block_of_a_view_that_matters_is_gathered() {
    let first = block_of(5, VIEW, transfers(3));
    let second = block_of(5, VIEW, transfers(4));
    let test = Test::with_pool(&[]);
    test.fake.answer(0, Answer::Silent);
    assert!(is_alone(&test.begin(&first).unwrap()));
    assert!(is_alone(&test.begin(&first).unwrap()));
    assert!(is_alone(&test.begin(&second).unwrap()));
    for view in [VIEW - 1, VIEW + 5, VIEW + 1_000] {
        assert!(is_alone(&test.begin(&block_of(5, view, transfers(4))).unwrap()));
    }
    assert_eq!(test.rebuilder.slots().len(), 1);
    // However many views a leader claims, those that wait are few.
    for view in 0..1_000 {
        test.begin(&block_of(5, view, transfers(4))).unwrap();
    }
    assert_eq!(test.rebuilder.slots().len(), 5);
}

#[tokio::test]
async fn a_view_that_is_over_ends_the_asking() {
    let block = block_of(5, VIEW, transfers(3));
    let mut test = Test::with_pool(&[]);
    test.begin(&block).unwrap();
    let gathered = test.rebuilder.gathered(&block.header.digest());
    test.window.set(View::new(VIEW - 1), View::new(VIEW + 1));
    assert!(timeout(LIMIT, gathered).await.expect("in time").is_none());
    assert!(test.whole.try_recv().is_err() && test.fake.charged().is_empty());
    assert!(test.rebuilder.slots().is_empty());
}

#[tokio::test]
async fn what_gossip_brings_meanwhile_is_taken() {
    let block = block_of(5, VIEW, transfers(3));
    let pool: Arc<Mutex<HashMap<TxHash, Transaction>>> = Arc::default();
    let mut test = Test::with_pool(&[]);
    let seen = Arc::clone(&pool);
    let known: KnownLookup = Arc::new(move |hash: &TxHash| seen.lock().unwrap().get(hash).cloned());
    let (checked, whole) = mpsc::channel(16);
    test.rebuilder = Rebuilder::new(test.fake.clone(), known, Arc::clone(&test.window), vec![LEADER], checked);
    test.whole = whole;
    test.begin(&block).unwrap();
    pool.lock().unwrap().extend(block.transactions.iter().map(|tx| (*tx.hash(), tx.clone())));
    assert_eq!(*test.gathered().await, block);
}
