//! What processes use, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Clock ticks of a second in `/proc/PID/stat`: a constant of the kernel's interface on Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Returns the user and system time that a process has used, its ended threads included.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold spaces; what follows it are fields 3 and on.
    let fields: Vec<&str> = text.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    let (user, system) = ticks(14).zip(ticks(15)).with_context(|| format!("{path} has no times"))?;
    Ok(Duration::from_secs_f64((user + system) as f64 / TICKS_PER_SECOND))
}

/// Returns the user and system time of several processes together.
///
/// # Errors
/// When one of them does not exist.
pub fn cpu_time_of(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|pid| cpu_time(*pid)).sum()
}

/// Returns the most memory that a process ever had resident, in MiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_max_mib(pid: u32) -> anyhow::Result<u64> {
    const FIELD: &str = "VmHWM:";
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(FIELD));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} has no {FIELD}"))?.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let me = std::process::id();
        let before = cpu_time(me).unwrap();
        let start = std::time::Instant::now();
        while cpu_time(me).unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "a busy process uses time");
        }
        assert!(resident_max_mib(me).unwrap() > 0 && resident_max_mib(u32::MAX).is_err());
        assert!(cpu_time_of(&[me, u32::MAX]).is_err());
    }
}
