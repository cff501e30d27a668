//! CPU and memory of another process, as Linux tells them; `None` elsewhere.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// Length of a tick in `/proc/PID/stat`: 1/100 s on everything that runs Linux.
const TICK: Duration = Duration::from_millis(10);

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Time that the process has used all cores together.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, spaces and brackets included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

/// Resident memory in bytes: now, and at most so far.
pub(crate) fn memory(pid: u32) -> Option<(u64, u64)> {
    let kib = |file: &str, name: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()
    };
    // Exact, where `status` may be off by some pages for each core.
    let now = kib("smaps_rollup", "Rss").or_else(|| kib("status", "VmRSS"))?;
    Some((now * 1024, kib("status", "VmHWM")? * 1024))
}

/// The process that listens at `addr`, if that is on this machine.
pub(crate) fn listening(addr: SocketAddr) -> Option<u32> {
    // Only an own address can be bound.
    UdpSocket::bind((addr.ip(), 0)).ok()?;
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        fs::read_to_string(table).ok()?.lines().skip(1).find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let port = fields.next()?.rsplit_once(':')?.1;
            let listens = fields.nth(1)? == LISTEN;
            let same = u16::from_str_radix(port, 16).ok()? == addr.port();
            (listens && same).then(|| fields.nth(5).map(str::to_owned))?
        })
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        let mut links = open.into_iter().filter_map(|fd| fs::read_link(fd.path()).ok());
        links.any(|link| link.as_os_str() == wanted.as_str()).then_some(pid)
    })
}
