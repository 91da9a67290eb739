//! What a test needs of the machine. Without it the test is skipped, visibly; in CI (`CI=true`) it fails instead.

use std::{
    env,
    io::{self, Write},
    path::Path,
};

/// Ends the test early, as skipped, unless it runs as root and all the programs named are installed.
///
/// ```no_run
/// # use heartprobe_tests::require_root;
/// require_root!();
/// require_root!("prometheus", "promtool");
/// ```
#[macro_export]
macro_rules! require_root {
    ($($program:literal),*) => {
        if let Err(reason) = $crate::privilege::check(&["ip", "ethtool", $($program),*]) {
            $crate::privilege::skip(&reason);
            return;
        }
    };
}

/// Whether the test can run; if not, why.
pub fn check(programs: &[&str]) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("needs root to make network namespaces".into());
    }
    match programs.iter().find(|program| !is_installed(program)) {
        Some(missing) => Err(format!("needs {missing} (see `cargo xtask setup`)")),
        None => Ok(()),
    }
}

/// Says that the calling test is skipped; panics in CI, where nothing may be skipped in silence.
pub fn skip(reason: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    assert!(env::var("CI").as_deref() != Ok("true"), "{test} {reason}");
    // Written to the stream itself: what the macros print is shown of tests that fail alone.
    let _ = writeln!(io::stderr(), "skipped: {test} {reason}");
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned()))
        .any(|folder| folder.join(program).is_file())
}
