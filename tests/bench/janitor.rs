//! Cleans up after a bench that was interrupted or killed: a shell that outlives it by a moment.

use std::process::{Child, Command, Stdio};

use heartprobe_tests::net::Net;

/// Waits for the end of the pipe that the bench holds, then ends what is left in the namespaces and removes them.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat > /dev/null
for name in "$@"; do
    for pid in $(ip netns pids "$name" 2> /dev/null); do kill -KILL "$pid" 2> /dev/null; done
    ip netns del "$name" 2> /dev/null
done
exit 0
"#;

/// Removes the namespaces of `net` when this process ends, however it does.
pub struct Janitor(Child);

impl Janitor {
    /// To be kept as long as the namespaces are.
    pub fn of(net: &Net) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            SCRIPT,
            "janitor",
            net.monitor.name(),
            net.fleet.name(),
        ]);
        Self(
            shell
                .stdin(Stdio::piped())
                .spawn()
                .expect("there is a shell"),
        )
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
