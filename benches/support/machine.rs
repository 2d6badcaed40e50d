//! What figures hold for.

/// The version that was measured, and the processor.
pub(crate) fn premises() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or("an unknown processor", |(_, name)| name);
    let version = env!("CARGO_PKG_VERSION");
    format!("mcx-token-broker {version}, {cores} cores of {cpu}")
}
