//! Golden conversations with one machine: `scenarios/*.txt`, one input a line, and after `->` what the machine does.
//!
//! `BATON_BLESS=1` writes the answers anew; whoever blesses reads them. Lines before the first input set the scene:
//! `weights 1 1 1 1`, `me 3` (or `me none`), `show timers`, `block a view=1 on=root`, with `epoch=3` a handover block;
//! `lose a` takes a block from the disk, `store finalize a` puts a certificate there. `clock 250` tells the machine the
//! time. What is said of a block is said in its own view, or in view 2 with `at=2`. No run may make the machine ask for
//! a signature that is punishable beside an earlier one, of whatever life. Certificates and votes are really signed
//! with the insecure scheme. `restart` drops the machine and makes a new one from what was durable.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use baton_consensus::{Effect, Input, Machine, Outgoing, Recovered, Timer, Verdict, Verified};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Epoch, MemberIndex, Offence, SignedStatement, Statement, View,
};
use common::{Insecure, World, finalize, notarize, nullify};

struct Scenario {
    world: World,
    me: Option<MemberIndex>,
    show_timers: bool,
    blocks: BTreeMap<String, BlockHeader>,
    names: BTreeMap<BlockDigest, String>,
    machine: Option<Machine<Insecure>>,
    // What a crash leaves.
    record: Vec<Statement>,
    certificates: Vec<Verified<Certificate>>,
    stored: Vec<BlockHeader>,
    head: BlockHeader,
}

/// `kind word word key=value …`
struct Line<'a> {
    words: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Self {
        let (values, words): (Vec<&str>, Vec<&str>) = text.split_whitespace().partition(|part| part.contains('='));
        Self { words, values: values.into_iter().filter_map(|part| part.split_once('=')).collect() }
    }

    fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_else(|| panic!("word {at} is missing after {:?}", self.words))
    }

    fn number(&self, key: &str) -> u64 {
        self.values.get(key).unwrap_or_else(|| panic!("{key}= is missing")).parse().unwrap()
    }

    /// The view in which something is said of a block.
    fn view_of(&self, header: &BlockHeader) -> u64 {
        if self.values.contains_key("at") { self.number("at") } else { header.view.get() }
    }

    fn member(&self, key: &str) -> Option<MemberIndex> {
        self.values.get(key).map(|value| MemberIndex::new(value.parse().unwrap()))
    }
}

impl Scenario {
    fn new() -> Self {
        Self::with_weights(&[1, 1, 1, 1])
    }

    fn with_weights(weights: &[u64]) -> Self {
        let world = World::new(weights);
        let root = world.genesis.clone();
        Self {
            me: Some(MemberIndex::new(0)),
            show_timers: false,
            blocks: BTreeMap::from([("root".to_owned(), root.clone())]),
            names: BTreeMap::from([(root.digest(), "root".to_owned())]),
            machine: None,
            record: Vec::new(),
            certificates: Vec::new(),
            stored: Vec::new(),
            head: root,
            world,
        }
    }

    /// Sets the scene, or returns the input that a line says.
    fn read(&mut self, text: &str) -> Option<Input> {
        let line = Line::parse(text);
        match line.word(0) {
            "weights" => {
                let weights: Vec<u64> = line.words[1..].iter().map(|word| word.parse().unwrap()).collect();
                *self = Self::with_weights(&weights);
            }
            "me" => self.me = line.word(1).parse().ok().map(MemberIndex::new),
            "show" => self.show_timers = true,
            "clock" => self.machine.as_mut().expect("start comes first").set_clock(line.word(1).parse().unwrap()),
            "store" => self.certificates.push(self.certificate(&line, self.statement(&line, 1))),
            "lose" => {
                let lost = self.block(line.word(1)).digest();
                self.stored.retain(|header| header.digest() != lost);
            }
            "block" => {
                let parent = self.block(line.values["on"]).clone();
                let salt = self.blocks.len() as u64;
                let mut header = self.world.block(line.number("view"), &parent, salt);
                if line.values.contains_key("epoch") {
                    let epoch = Epoch::new(line.number("epoch"));
                    header = self.world.block_of(epoch, line.number("view"), &parent, salt);
                }
                header.proposer = line.member("by").unwrap_or(header.proposer);
                self.names.insert(header.digest(), line.word(1).to_owned());
                self.blocks.insert(line.word(1).to_owned(), header);
            }
            _ => return Some(self.input(&line)),
        }
        None
    }

    fn input(&mut self, line: &Line<'_>) -> Input {
        let from = line.member("from");
        match line.word(0) {
            "start" => {
                if self.machine.is_none() {
                    self.create();
                }
                Input::Started
            }
            "restart" => {
                self.machine = None;
                self.create();
                Input::Started
            }
            "proposal" => {
                let header = self.block(line.word(1)).clone();
                let (view, block) = (line.view_of(&header), header.digest());
                let signer = from.unwrap_or(self.world.leader(view));
                Input::Proposal { header, notarize: self.world.sign(signer, notarize(view, block)) }
            }
            "vote" => {
                let (statement, signer) = (self.statement(line, 1), line.member("by").unwrap());
                let carries = matches!(statement, Statement::Notarize { .. }) && line.words.last() != Some(&"bare");
                let leader = self.world.leader(statement.view().unwrap().get());
                Input::Vote {
                    vote: self.world.sign(signer, statement),
                    leader: (carries && leader != signer).then(|| self.world.sign(leader, statement)),
                }
            }
            "certificate" => Input::Certificate(self.certificate(line, self.statement(line, 1))),
            "valid" => {
                self.store(line.word(1));
                Input::Validated { block: self.block(line.word(1)).digest(), verdict: Verdict::Valid }
            }
            "invalid" => Input::Validated { block: self.block(line.word(1)).digest(), verdict: Verdict::Invalid },
            "fetched" => {
                self.store(line.word(1));
                Input::Fetched { header: self.block(line.word(1)).clone() }
            }
            "built" => {
                self.store(line.word(1));
                let header = self.block(line.word(1)).clone();
                Input::Built { view: header.view, header }
            }
            "not-built" => Input::NotBuilt { view: View::new(line.number("view")) },
            "synced" => {
                let header = self.block(line.word(1)).clone();
                let block = self.block(line.values["proof"]);
                let statement = finalize(line.view_of(block), block.digest());
                self.head = header.clone();
                Input::Synced { header, certificate: self.certificate(line, statement) }
            }
            "signed" => Input::Signed(self.world.sign(self.me.unwrap(), self.statement(line, 1))),
            "forbidden" => Input::SignRefused(self.statement(line, 1)),
            "work" => Input::WorkArrived,
            "connected" => Input::Connected(from.unwrap()),
            "wanted" => Input::CertificateWanted { view: View::new(line.number("view")), from: from.unwrap() },
            "timer" => {
                let view = View::new(line.number("view"));
                Input::TimerFired(match line.word(1) {
                    "pace" => Timer::Pace(view),
                    "idle" => Timer::Idle(view),
                    "leader" => Timer::Leader(view),
                    "advance" => Timer::Advance(view),
                    "retry" => Timer::Retry(view),
                    other => panic!("no timer {other}"),
                })
            }
            other => panic!("no input {other}"),
        }
    }

    fn create(&mut self) {
        let head = self.head.clone();
        let recovered = Recovered {
            statements: self.record.clone(),
            certificates: self.certificates.clone(),
            headers: self.stored.clone(),
            head,
        };
        let (config, committee) = (self.world.config, Arc::clone(&self.world.committee));
        let (schedule, root) = (self.world.schedule.clone(), &self.world.genesis);
        self.machine = Some(Machine::with_scheme(config, committee, schedule, self.me, root, recovered));
    }

    fn step(&mut self, input: Input) -> Vec<String> {
        let mut effects = Vec::new();
        let machine = self.machine.as_mut().expect("start comes first");
        let before = format!("{machine:?}");
        if let Err(rejected) = machine.handle(input, &mut effects) {
            assert!(effects.is_empty(), "a refused input has no effects");
            assert_eq!(format!("{machine:?}"), before, "a refused input changes nothing");
            let whose = if rejected.is_peer_fault() { "refused, peer's fault" } else { "refused" };
            return vec![format!("{whose}: {rejected}")];
        }
        let lines: Vec<String> = effects.into_iter().filter_map(|effect| self.show(effect)).collect();
        if lines.is_empty() { vec!["nothing".to_owned()] } else { lines }
    }

    fn show(&mut self, effect: Effect) -> Option<String> {
        Some(match effect {
            Effect::Sign(statement) => {
                let pair = self.record.iter().find(|said| Offence::of(said, &statement).is_some());
                assert!(pair.is_none(), "{} after {}", self.say(&statement), self.say(pair.unwrap()));
                self.record.push(statement);
                format!("sign {}", self.say(&statement))
            }
            Effect::Persist(certificate) => {
                let text = format!("persist {}", self.say_certificate(&certificate));
                self.certificates.push(self.world.verifier.verify_certificate(certificate).expect("sums verify"));
                text
            }
            Effect::Broadcast(message) => format!("broadcast {}", self.say_message(&message)),
            Effect::Send(to, message) => format!("send {to} {}", self.say_message(&message)),
            Effect::Build { view, parent, ancestors } => {
                format!("build view={view} on={} above {}", self.name(parent.digest()), self.list(&ancestors))
            }
            Effect::Validate { header, parent, ancestors } => {
                let (block, parent) = (self.name(header.digest()), self.name(parent.digest()));
                format!("validate {block} on={parent} above {}", self.list(&ancestors))
            }
            Effect::Fetch { block, view, from } => {
                let from = from.map_or("anyone".to_owned(), |from| from.to_string());
                format!("fetch {} view={view} from={from}", self.name(block))
            }
            Effect::Finalized { certificate, chain } => {
                self.head = chain.last().unwrap().clone();
                format!("final {} by {}", self.list(&chain), self.say_certificate(&certificate))
            }
            Effect::EpochEnded { last, next_epoch } => {
                format!("epoch ends with {}, {next_epoch} follows", self.name(last.digest()))
            }
            Effect::Behind { certificate } => format!("behind {}", self.say_certificate(&certificate)),
            Effect::SetTimer { timer, after_ms } => {
                return self.show_timers.then(|| format!("timer {timer:?} after {after_ms} ms").to_lowercase());
            }
            Effect::Report(evidence) => {
                let (signer, view) = (evidence.signer(), evidence.view());
                format!("report {:?} by={signer} view={view}", evidence.offence())
            }
            Effect::SafetyBroken(certificates) => {
                let list: Vec<String> = certificates.iter().map(|held| self.say_certificate(held)).collect();
                let held = certificates.into_iter().map(|held| self.world.verifier.verify_certificate(held).unwrap());
                self.certificates.extend(held);
                format!("safety broken {}", list.join(" and "))
            }
            Effect::Entered { view, leader } => format!("enter view={view} leader={leader}"),
        })
    }

    fn say(&self, statement: &Statement) -> String {
        let block = statement.block().map_or(String::new(), |block| format!(" {}", self.name(block)));
        format!("{:?}{block} view={}", statement.kind(), statement.view().unwrap()).to_lowercase()
    }

    fn say_certificate(&self, certificate: &Certificate) -> String {
        let signers: Vec<String> = certificate.signers.iter().map(|signer| signer.to_string()).collect();
        format!("{} by={}", self.say(&certificate.statement), signers.join(","))
    }

    fn say_message(&self, message: &Outgoing) -> String {
        let vote = |signed: &SignedStatement| self.say(&signed.statement);
        match message {
            Outgoing::Proposal { header, notarize } => {
                format!("proposal {} with {}", self.name(header.digest()), vote(notarize))
            }
            Outgoing::Vote { vote: signed, leader: None } => format!("vote {}", vote(signed)),
            Outgoing::Vote { vote: signed, leader: Some(leader) } => {
                assert_eq!(leader.statement, signed.statement);
                format!("vote {} with that of {}", vote(signed), leader.signer)
            }
            Outgoing::Certificate(certificate) => format!("certificate {}", self.say_certificate(certificate)),
            Outgoing::CertificateRequest { view } => format!("request view={view}"),
        }
    }

    fn statement(&self, line: &Line<'_>, at: usize) -> Statement {
        match line.word(at) {
            "nullify" => nullify(line.number("view")),
            kind => {
                let header = self.block(line.word(at + 1));
                let (view, block) = (line.view_of(header), header.digest());
                if kind == "notarize" { notarize(view, block) } else { finalize(view, block) }
            }
        }
    }

    fn certificate(&self, line: &Line<'_>, statement: Statement) -> Verified<Certificate> {
        let by = line.values.get("by").copied().unwrap_or("1,2,3");
        let signers: Vec<u8> = by.split(',').map(|signer| signer.parse().unwrap()).collect();
        self.world.certify(&signers, statement)
    }

    fn store(&mut self, name: &str) {
        self.stored.push(self.block(name).clone());
    }

    fn block(&self, name: &str) -> &BlockHeader {
        self.blocks.get(name).unwrap_or_else(|| panic!("no block {name}"))
    }

    fn name(&self, block: BlockDigest) -> &str {
        self.names.get(&block).map_or("unknown", String::as_str)
    }

    fn list(&self, headers: &[BlockHeader]) -> String {
        let names: Vec<&str> = headers.iter().map(|header| self.name(header.digest())).collect();
        if names.is_empty() { "the head".to_owned() } else { names.join(" ") }
    }
}

/// Plays a scenario and returns its text with the answers that the machine gave.
fn play(text: &str) -> String {
    let mut scenario = Scenario::new();
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("->")) {
        let said = line.split("->").next().unwrap_or_default().trim_end();
        out.push_str(said);
        if !said.is_empty()
            && !said.starts_with('#')
            && let Some(input) = scenario.read(said)
        {
            for (at, answer) in scenario.step(input).iter().enumerate() {
                let pad = if at == 0 { 34_usize.saturating_sub(said.len()).max(1) } else { 34 };
                let newline = if at == 0 { "" } else { "\n" };
                out.push_str(&format!("{newline}{:pad$}-> {answer}", ""));
            }
        }
        out.push('\n');
    }
    out
}

#[test]
fn scenarios_go_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let played = play(&text);
        if std::env::var_os("BATON_BLESS").is_some() {
            fs::write(&file, played).unwrap();
            continue;
        }
        for (number, (expected, got)) in text.lines().zip(played.lines()).enumerate() {
            assert!(expected == got, "{}:{}\nexpected {expected}\n     got {got}", file.display(), number + 1);
        }
        assert_eq!(text.lines().count(), played.lines().count(), "{}", file.display());
    }
}
