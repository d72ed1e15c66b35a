//! What the operating system says about this process; Linux alone says it in files.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::scrape::Scrape;

/// Clock ticks per second in `/proc`: fixed by Linux for every architecture this runs on, whatever the kernel's own is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` whenever it is asked.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut scrape = Scrape::new(encoder);
        if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().and_then(|text| resident_bytes(&text)) {
            scrape.gauge("process_resident_memory_bytes", "Memory that the process holds", bytes)?;
        }
        if let Some(seconds) = std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| cpu_seconds(&text)) {
            scrape.counter("process_cpu_seconds", "Processor time spent, in user and system mode", seconds)?;
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            scrape.gauge("process_open_fds", "Open files and sockets", files.count() as u64)?;
        }
        Ok(())
    }
}

/// `VmRSS:     12345 kB`
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// Fields 14 and 15. The second one, the program's name in brackets, may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user.checked_add(system)? as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_by_their_grammar() {
        assert_eq!(resident_bytes("Name:\tbaton\nVmPeak:\t 9 kB\nVmRSS:\t  2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_bytes("Name:\tbaton\n"), None);
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 100 0 0 0 1250 250 0 0 20 0 9 0 100 1000 50";
        assert_eq!(cpu_seconds(stat), Some(15.0));
        assert_eq!(cpu_seconds("7 (baton"), None);
    }
}
