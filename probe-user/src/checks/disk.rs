//! Looks at a file system, which may hang for ever (a network's, a broken disk's).

use std::sync::Arc;

use tokio::{
    sync::{Mutex, TryLockError},
    task::spawn_blocking,
};

/// One look at a time: of a file system that hangs one thread is lost, and not one more each interval.
#[derive(Debug, Default)]
pub struct Disk(Arc<Mutex<()>>);

impl Disk {
    /// Looks on a thread of its own.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let turn = self.0.clone().try_lock_owned();
        let turn = turn.map_err(|_: TryLockError| "an earlier look at the file still hangs")?;
        let looking = spawn_blocking(move || {
            let _turn = turn;
            look()
        });
        looking.await.map_err(|error| error.to_string())?
    }
}
