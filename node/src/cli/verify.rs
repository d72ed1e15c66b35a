//! `baton verify`: how far one transaction came, checked without trusting the node that says so.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::{Address, TxHash};
use baton_proto::Domain;
use clap::Args;
use jsonrpsee::core::JsonRawValue;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::CliError;
use crate::{
    l1::{CALL_TIMEOUT, L1Client, L1Error},
    proof::{
        AttestedState, CommitteeOf, Committees, Found, Ladder, OnL1, OnL1Error, PROOF_BYTES_MAX, Proof, ProofError,
        Rung, Source, Step, Told, check,
    },
};

/// Longest that the node may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Arguments of `baton verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Hash of the transaction.
    hash: TxHash,
    /// JSON-RPC endpoint of the node that is asked for the proof. It is not trusted.
    #[arg(long, default_value = "http://127.0.0.1:8545", conflicts_with = "proof")]
    rpc: Url,
    /// File with a proof that `--save` wrote, instead of asking a node.
    #[arg(long)]
    proof: Option<PathBuf>,
    /// Write the proof to this file, to be checked later or by somebody else.
    #[arg(long, conflicts_with = "proof")]
    save: Option<PathBuf>,
    /// L1 JSON-RPC endpoints, separated by commas: committees are read there, and what the batch inbox accepted. With several a
    /// majority counts.
    #[arg(long, value_delimiter = ',')]
    l1: Vec<String>,
    /// Address of `SequencerRegistry`. A proof of another chain is refused.
    #[arg(long = "l1-registry", env = "BATON_L1_REGISTRY")]
    registry: Option<Address>,
    /// File with the committees to trust where no L1 is asked: a JSON array as under `committees` of a proof.
    #[arg(long, conflicts_with = "l1")]
    committee: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Why nothing could be checked, or what was checked does not hold.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum VerifyCliError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}: {error}", path.display())]
    ProofFile { path: PathBuf, error: ProofError },
    #[error("{}: no list of committees: {error}", path.display())]
    Committees { path: PathBuf, error: serde_json::Error },
    #[error("no answer from {endpoint}: {why}")]
    NoAnswer { endpoint: String, why: String },
    #[error("{endpoint} answered with error {code}: {message}")]
    Refused { endpoint: String, code: i64, message: String },
    #[error("what {endpoint} answered: {error}")]
    Answer { endpoint: String, error: ProofError },
    #[error("the node at {endpoint} does not know transaction {hash}")]
    Unknown { endpoint: String, hash: TxHash },
    #[error("the proof is of the chain of registry {got}, not of {expected}")]
    OtherRegistry { expected: Address, got: Address },
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    OnL1(#[from] OnL1Error),
    #[error("the result cannot be written: {0}")]
    Unwritable(#[from] serde_json::Error),
    #[error("{step}: {why}")]
    DoesNotHold { step: Step, why: String },
}

impl VerifyCliError {
    /// Returns the process's exit code.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::L1(L1Error::BadUrl(_) | L1Error::EndpointCount { .. }) => CliError::USAGE,
            Self::File { .. }
            | Self::ProofFile { .. }
            | Self::Committees { .. }
            | Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::Unknown { .. }
            | Self::OtherRegistry { .. }
            | Self::L1(_)
            | Self::OnL1(_)
            | Self::Unwritable(_)
            | Self::DoesNotHold { .. } => CliError::RUNTIME,
        }
    }
}

/// Checks and prints, and fails if something that is claimed does not hold.
pub(super) async fn run(args: VerifyArgs) -> Result<(), VerifyCliError> {
    let proof = proof(&args).await?;
    let ladder = climb(&args, &proof).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&Report::of(&ladder))?);
    } else {
        print!("{}", render(&ladder, args.registry.is_some(), std::io::stdout().is_terminal()));
    }
    match ladder.flaw() {
        None => Ok(()),
        Some((step, why)) => Err(VerifyCliError::DoesNotHold { step, why: why.to_string() }),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether every step that is claimed holds, as far as it was checked.
    holds: bool,
    /// Whether all of that was checked, down to L1.
    checked: bool,
    #[serde(flatten)]
    ladder: &'a Ladder,
}

impl<'a> Report<'a> {
    fn of(ladder: &'a Ladder) -> Self {
        Self { holds: ladder.flaw().is_none(), checked: ladder.is_checked(), ladder }
    }
}

async fn proof(args: &VerifyArgs) -> Result<Proof, VerifyCliError> {
    if let Some(path) = &args.proof {
        return Proof::from_json(&read(path)?).map_err(|error| VerifyCliError::ProofFile { path: path.clone(), error });
    }
    let proof = ask(&args.rpc, args.hash).await?;
    if let Some(path) = &args.save {
        let bytes = serde_json::to_vec_pretty(&proof)?;
        std::fs::write(path, bytes).map_err(|error| VerifyCliError::File { path: path.clone(), error })?;
    }
    Ok(proof)
}

/// Reads a file that is no longer than a proof can be.
fn read(path: &Path) -> Result<Vec<u8>, VerifyCliError> {
    let file = |error| VerifyCliError::File { path: path.to_owned(), error };
    let got = std::fs::metadata(path).map_err(file)?.len();
    if got > PROOF_BYTES_MAX as u64 {
        return Err(VerifyCliError::ProofFile { path: path.to_owned(), error: ProofError::TooLong { got } });
    }
    std::fs::read(path).map_err(file)
}

async fn climb(args: &VerifyArgs, proof: &Proof) -> Result<Ladder, VerifyCliError> {
    let got = proof.domain.registry;
    if let Some(expected) = args.registry.filter(|expected| *expected != got) {
        return Err(VerifyCliError::OtherRegistry { expected, got });
    }
    if !args.l1.is_empty() {
        let client = L1Client::new(&args.l1, proof.domain.l1_chain_id, CALL_TIMEOUT)?;
        let l1 = OnL1::read(&client, proof).await?;
        return Ok(check(proof, args.hash, &Committees::of_l1(&l1), Some(&l1)));
    }
    let committees = match &args.committee {
        None => Committees::of_proof(proof),
        Some(path) => {
            let listed: Vec<CommitteeOf> = serde_json::from_slice(&read(path)?)
                .map_err(|error| VerifyCliError::Committees { path: path.clone(), error })?;
            Committees::of_file(listed)
        }
    };
    Ok(check(proof, args.hash, &committees, None))
}

/// Asks a node, and takes no more of its answer than a proof can have.
async fn ask(url: &Url, hash: TxHash) -> Result<Proof, VerifyCliError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow, default)]
        result: Option<&'a JsonRawValue>,
        #[serde(default)]
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        code: i64,
        message: String,
    }
    // Scheme, host and port only: paths and queries often hold access keys.
    let endpoint = url.origin().ascii_serialization();
    let no_answer = |why: String| VerifyCliError::NoAnswer { endpoint: endpoint.clone(), why };
    let failed = |error: reqwest::Error| no_answer(error.without_url().to_string());
    let malformed =
        |error: serde_json::Error| VerifyCliError::Answer { endpoint: endpoint.clone(), error: error.into() };
    let call = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "baton_getProof", "params": [hash]});
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build().map_err(failed)?;
    let mut response = client.post(url.clone()).json(&call).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        // The envelope of JSON-RPC around it is short.
        if body.len() > PROOF_BYTES_MAX.saturating_add(1_024) {
            let got = body.len() as u64;
            return Err(VerifyCliError::Answer { endpoint, error: ProofError::TooLong { got } });
        }
    }
    if !response.status().is_success() {
        return Err(no_answer(format!("HTTP status {}", response.status())));
    }
    let answer: Answer<'_> = serde_json::from_slice(&body).map_err(malformed)?;
    if let Some(Refusal { code, message }) = answer.error {
        return Err(VerifyCliError::Refused { endpoint, code, message });
    }
    let Some(result) = answer.result else { return Err(VerifyCliError::Unknown { endpoint, hash }) };
    Proof::from_json(result.get().as_bytes()).map_err(|error| VerifyCliError::Answer { endpoint, error })
}

/// Colours of a terminal.
struct Paint(bool);

impl Paint {
    fn good(&self, text: &str) -> String {
        self.with(32, text)
    }

    fn doubtful(&self, text: &str) -> String {
        self.with(33, text)
    }

    fn bad(&self, text: &str) -> String {
        self.with(31, text)
    }

    fn dim(&self, text: &str) -> String {
        self.with(2, text)
    }

    fn with(&self, code: u8, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes the ladder for people. `is_pinned`: the user named the registry.
fn render(ladder: &Ladder, is_pinned: bool, is_terminal: bool) -> String {
    let paint = Paint(is_terminal);
    let mut lines = vec![ladder.hash.to_string(), String::new()];
    for Rung { step, found } in &ladder.rungs {
        let (mark, said) = match found {
            Found::Holds { by, .. } => (paint.good("✓"), by.clone()),
            Found::Unchecked { by, needs, .. } => {
                (paint.doubtful("?"), format!("{by}; {}", paint.doubtful(&format!("unchecked: {needs}"))))
            }
            Found::Missing { what } => (paint.dim("·"), paint.dim(what)),
            Found::Fails { why } => (paint.bad("✗"), paint.bad(&why.to_string())),
        };
        lines.push(format!("  {mark} {step:<10} {said}"));
    }
    lines.push(String::new());
    lines.extend(notes(ladder, is_pinned, &paint).map(|(name, said)| format!("  {name:<12} {said}")));
    lines.push(String::new());
    lines.push(match ladder.flaw() {
        Some((step, _)) => paint.bad(&format!("  Does not hold: see {step}.")),
        None if ladder.is_checked() => paint.good("  All that is claimed holds."),
        None => paint.doubtful("  What was checked holds. Pass --l1 URL to check the rest against L1."),
    });
    lines.push(String::new());
    lines.join("\n")
}

/// What the ladder rests on, and what else is known.
fn notes(ladder: &Ladder, is_pinned: bool, paint: &Paint) -> impl Iterator<Item = (&'static str, String)> {
    let Domain { l1_chain_id, registry, l2_chain_id } = ladder.domain;
    let named = if is_pinned { "the one you asked for" } else { "as the proof says: compare it with the one you know" };
    let chain = format!("{l2_chain_id}, of registry {registry} on L1 chain {l1_chain_id}, {named}");
    let committees = match ladder.committees {
        Source::L1 => "as the registry on L1 has them".to_owned(),
        Source::File => paint.doubtful("as your file has them, not checked against L1"),
        Source::Proof => {
            paint.doubtful("as the proof has them, not checked against L1: whoever made it can make them up")
        }
    };
    let outcome = ladder.outcome.as_ref().map(|told| match told {
        Told::Executed => "took its turn, as the node says: nobody signs for outcomes or receipts".to_owned(),
        Told::Skipped { why } => paint.doubtful(&format!("passed over without effect, as the node says: {why}")),
    });
    let state = ladder.state.map(|AttestedState { height, root }| {
        format!("{root} after block {height}, attested with the batch: eth_getProof shows accounts against it")
    });
    let notes = [("chain", Some(chain)), ("committees", Some(committees)), ("outcome", outcome), ("state root", state)];
    notes.into_iter().filter_map(|(name, said)| Some((name, said?)))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use baton_proto::{L1ChainId, L2ChainId};

    use super::*;
    use crate::proof::Flaw;

    fn ladder(committees: Source, found: Found) -> Ladder {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(1),
            registry: Address::repeat_byte(0xaa),
            l2_chain_id: L2ChainId::new(7),
        };
        let rungs = vec![Rung { step: Step::Final, found }];
        Ladder { hash: B256::repeat_byte(1), domain, committees, rungs, outcome: None, state: None }
    }

    #[test]
    fn trust_is_visible_and_colours_are_for_terminals() {
        let holds = || Found::Holds { by: "in view 3".into(), signed: None };
        let plain = render(&ladder(Source::L1, holds()), true, false);
        assert!(
            plain.contains("\n  ✓ final      in view 3\n") && plain.ends_with("\n  All that is claimed holds.\n"),
            "{plain}"
        );
        assert!(plain.contains("the one you asked for") && !plain.contains('\x1b'), "{plain}");
        let coloured = render(&ladder(Source::L1, holds()), false, true);
        assert!(coloured.contains("\x1b[32m✓\x1b[0m final") && coloured.contains("compare it with the one you know"));
        let taken_at_its_word = render(&ladder(Source::Proof, holds()), true, false);
        assert!(taken_at_its_word.contains("as the proof has them, not checked against L1"), "{taken_at_its_word}");
        let unchecked = Found::Unchecked { by: "in batch 1".into(), signed: None, needs: "L1".into() };
        let unchecked = render(&ladder(Source::File, unchecked), true, false);
        assert!(unchecked.contains("? final      in batch 1; unchecked: L1\n") && unchecked.contains("Pass --l1 URL"));
        let fails = render(&ladder(Source::L1, Found::Fails { why: Flaw::NoHeader }), true, false);
        assert!(fails.contains("✗ final      there is no header\n") && fails.contains("Does not hold: see final."));
        let missing = render(&ladder(Source::L1, Found::Missing { what: "not yet".into() }), true, false);
        assert!(missing.contains("· final      not yet\n"), "{missing}");
    }
}
