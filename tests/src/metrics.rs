//! Reads `/metrics` by the rules of the OpenMetrics text format, and refuses what a strict reader would.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

/// The samples of one answer, by name and labels as written.
#[derive(Clone, Debug)]
pub struct Samples(BTreeMap<String, f64>);

/// A family of samples while it is read.
struct Family {
    name: String,
    kind: String,
    /// Of a histogram: cumulative counts by labels without `le`, with the bounds they came under.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    counts: BTreeMap<String, f64>,
}

impl Samples {
    /// Asks a node's health endpoint for its numbers.
    ///
    /// # Errors
    /// When it does not answer, or as [`Self::parse`].
    pub async fn fetch(health: &str) -> anyhow::Result<Self> {
        // Plain HTTP only, but the TLS stack wants its provider named once per process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self::parse(&reqwest::get(format!("{health}/metrics")).await?.error_for_status()?.text().await?)
    }

    /// Reads the text of an answer.
    ///
    /// # Errors
    /// With the line that breaks a rule: a sample without or outside its family, a family twice, a sample twice, labels or a
    /// value that do not parse, a counter below zero, buckets that do not grow to the count, a missing end.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let body = text.strip_suffix("# EOF\n").context("the text does not end with # EOF")?;
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let mut family: Option<Family> = None;
        let mut described = String::new();
        for line in body.lines() {
            let place = || format!("line {line:?}");
            if let Some(comment) = line.strip_prefix("# ") {
                let (kind, rest) = comment.split_once(' ').with_context(place)?;
                let (name, rest) = rest.split_once(' ').with_context(place)?;
                match kind {
                    "HELP" => described = name.to_owned(),
                    "TYPE" => {
                        ensure!(families.insert(name.to_owned()), "family {name} comes twice");
                        ensure!(described == name, "family {name} has no help");
                        close(family.take())?;
                        let (name, kind) = (name.to_owned(), rest.to_owned());
                        family = Some(Family { name, kind, buckets: BTreeMap::new(), counts: BTreeMap::new() });
                    }
                    "UNIT" => ensure!(name.ends_with(rest), "family {name} does not end with its unit {rest}"),
                    _ => bail!("{} is no comment of the format", place()),
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').with_context(place)?;
            let value: f64 = value.parse().with_context(place)?;
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, read_labels(labels).with_context(place)?),
                None => (series, Vec::new()),
            };
            ensure!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{} has a bad name", place());
            let family = family.as_mut().with_context(place)?;
            family.take(name, labels, value).with_context(place)?;
            ensure!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
        close(family)?;
        Ok(Self(samples))
    }

    /// Returns one sample, named with its labels.
    ///
    /// # Errors
    /// When it is not there.
    pub fn get(&self, series: &str) -> anyhow::Result<f64> {
        self.0.get(series).copied().with_context(|| format!("there is no {series}"))
    }

    /// Returns the names of all samples with their labels.
    pub fn series(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Family {
    fn take(&mut self, name: &str, mut labels: Vec<(String, String)>, value: f64) -> anyhow::Result<()> {
        let suffix = name.strip_prefix(self.name.as_str()).with_context(|| format!("not of family {}", self.name))?;
        match (self.kind.as_str(), suffix) {
            ("gauge", "") => {}
            ("info", "_info") => ensure!(value == 1.0, "an info is 1"),
            ("counter", "_total") => ensure!(value >= 0.0, "a counter is not negative"),
            ("histogram", "_sum") => {}
            ("histogram", "_count") => drop(self.counts.insert(format!("{labels:?}"), value)),
            ("histogram", "_bucket") => {
                let at = labels.iter().position(|(key, _)| key == "le").context("a bucket has a bound")?;
                let bound: f64 = labels.remove(at).1.parse()?;
                self.buckets.entry(format!("{labels:?}")).or_default().push((bound, value));
            }
            (kind, suffix) => bail!("a {kind} has no {suffix:?}"),
        }
        Ok(())
    }
}

/// Checks what only the whole of a family shows.
fn close(family: Option<Family>) -> anyhow::Result<()> {
    let Some(Family { name, buckets, counts, .. }) = family else { return Ok(()) };
    for (labels, buckets) in buckets {
        ensure!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "buckets of {name} do not grow: {buckets:?}");
        let last = buckets.last().context("it has one")?;
        ensure!(last.0 == f64::INFINITY, "buckets of {name} do not end with +Inf");
        ensure!(counts.get(&labels) == Some(&last.1), "buckets of {name} do not add up to its count");
    }
    Ok(())
}

/// Reads `key="value",…}`.
fn read_labels(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut rest = text.strip_suffix('}').context("labels are not closed")?;
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").context("a label has a quoted value")?;
        let mut end = None;
        let mut escaped = false;
        for (at, c) in after.char_indices() {
            match c {
                '"' if !escaped => {
                    end = Some(at);
                    break;
                }
                _ => escaped = c == '\\' && !escaped,
            }
        }
        let end = end.context("a label's value is not closed")?;
        labels.push((key.to_owned(), after[..end].to_owned()));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_strict_reader_refuses_is_refused() {
        let good = "# HELP a_b Help.\n# TYPE a_b counter\na_b_total{c=\"x\\\"}y\"} 3\n# HELP h Help.\n\
                    # TYPE h histogram\nh_sum 2.5\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let samples = Samples::parse(good).unwrap();
        assert_eq!(samples.get("a_b_total{c=\"x\\\"}y\"}").unwrap(), 3.0);
        assert_eq!(samples.get("h_count").unwrap(), 2.0);
        for (part, broken) in [
            ("# EOF\n", ""),
            ("a_b_total", "a_b"),
            ("} 3", "} -3"),
            ("} 3", "} three"),
            ("counter\n", "gauge\n"),
            ("+Inf", "9.0"),
            ("} 1", "} 7"),
            ("h_count 2", "h_count 3"),
            ("# HELP h Help.\n", ""),
            ("h_sum 2.5", "h_sum 2.5\nh_sum 2.5"),
            ("# HELP h Help.\n# TYPE h histogram", "# HELP a_b Help.\n# TYPE a_b histogram"),
        ] {
            assert!(good.contains(part) && Samples::parse(&good.replacen(part, broken, 1)).is_err(), "{part} {broken}");
        }
    }
}
