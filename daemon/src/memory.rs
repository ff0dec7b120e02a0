//! How a process takes its memory.

/// Has this process take its memory in small pages, and those that it starts from now on.
///
/// A page of two megabytes is faster to reach, and stays there as long as anything in it is used: so what
/// a process takes that keeps a little for long and reads much in between is half as large without them.
/// Where that cannot be set, memory stays as it is.
///
/// ```
/// daemon::take_small_pages();
/// ```
pub fn take_small_pages() {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_thp_disable(true).ok();
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn large_pages_are_off_afterwards() {
        super::take_small_pages();
        assert_eq!(nix::sys::prctl::get_thp_disable(), Ok(true));
    }
}
