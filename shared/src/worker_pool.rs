//! Worker pool: CPU-bound work on bounded threads, with a bounded queue.
//!
//! The threads are a tokio blocking pool of their own, with a lower priority than those that handle requests. At most [`WorkersConfig::threads`] pieces of work run at once, which bounds the cores and
//! the memory that they take. Waiting is bounded in number and in time, and ends in [`Overload`].

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use rustix::process::setpriority_process;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Limits of a worker pool.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    pub threads: usize,
    /// Most pieces of work that wait for a thread.
    pub queue_max: usize,
    /// Longest wait for a thread.
    pub queue_timeout: Duration,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    #[error("the queue is full")]
    QueueFull,
    #[error("it waited too long in the queue")]
    WaitedTooLong,
    /// It missed its deadline and was stopped.
    #[error("it took too long")]
    TookTooLong,
    /// A bug. The pool keeps working.
    #[error("the work panicked")]
    Panicked,
}

/// Signals running work to stop, because its request was dropped or its deadline has passed. Clones share the signal.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<Stop>);

#[derive(Debug, Default)]
struct Stop {
    is_stopped: AtomicBool,
    notify: Notify,
}

impl StopSignal {
    /// Whether the work should stop. Costs one atomic load.
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Relaxed)
    }

    /// Completes when the work should stop.
    pub async fn stopped(&self) {
        let notified = self.0.notify.notified();
        if !self.is_stopped() {
            notified.await;
        }
    }

    /// Gives the signal, for good.
    pub fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Relaxed);
        self.0.notify.notify_waiters();
    }
}

/// Stops the work when the future that awaits it is dropped.
struct StopOnDrop(StopSignal);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The pool. Running work has exclusive use of a state `S`, such as a buffer; a thread that ends drops one. Cheap to clone;
/// clones share the threads.
pub struct Workers<S>(Arc<Pool<S>>);

struct Pool<S> {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    /// Permits of all work, waiting or running.
    slots: Arc<Semaphore>,
    slots_max: usize,
    threads: Arc<Semaphore>,
    queue_timeout: Duration,
    new_state: Box<dyn Fn() -> S + Send + Sync>,
    unused_states: Arc<Mutex<Vec<S>>>,
}

/// Idle threads end after this time, and give the memory of their states back.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

impl<S: Send + 'static> Workers<S> {
    /// Creates a pool whose threads are called `name`; they start on demand.
    pub fn start(
        name: &str,
        priority: Priority,
        config: &WorkersConfig,
        new_state: impl Fn() -> S + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let unused_states = Arc::new(Mutex::new(Vec::new()));
        let runtime = Builder::new_current_thread()
            .thread_name(name)
            .max_blocking_threads(config.threads)
            .thread_keep_alive(KEEP_ALIVE)
            .on_thread_start(move || priority.apply())
            .on_thread_stop({
                let unused_states = Arc::clone(&unused_states);
                move || drop(lock(&unused_states).pop())
            })
            .build()?;
        let slots_max = config.threads.saturating_add(config.queue_max).min(Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Pool {
            runtime: Some(runtime),
            slots: Arc::new(Semaphore::new(slots_max)),
            slots_max,
            threads: Arc::new(Semaphore::new(config.threads)),
            queue_timeout: config.queue_timeout,
            new_state: Box::new(new_state),
            unused_states,
        })))
    }

    /// Whether no work runs or waits.
    pub fn is_idle(&self) -> bool {
        self.0.slots.available_permits() == self.0.slots_max
    }

    /// Runs `work` on a thread. It does not start if this future is dropped first.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut S) -> T + Send + 'static) -> Result<T, Overload> {
        self.submit(work).await
    }

    /// Like [`Self::run`], for work that polls a stop signal. The signal is given when this future is dropped and `limit`
    /// after the call, waiting included; the outcome is then [`Overload::TookTooLong`] at once.
    pub async fn run_stoppable<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut S, &StopSignal) -> T + Send + 'static,
    ) -> Result<T, Overload> {
        let stop = StopOnDrop(StopSignal::default());
        let signal = stop.0.clone();
        let work = self.submit(move |state| work(state, &signal));
        timeout(limit, work).await.unwrap_or(Err(Overload::TookTooLong))
    }

    async fn submit<T: Send + 'static>(&self, work: impl FnOnce(&mut S) -> T + Send + 'static) -> Result<T, Overload> {
        let pool = &self.0;
        let deadline = Instant::now() + pool.queue_timeout;
        let slot = Arc::clone(&pool.slots).try_acquire_owned().map_err(|_| Overload::QueueFull)?;
        let thread = match timeout_at(deadline, Arc::clone(&pool.threads).acquire_owned()).await {
            Ok(Ok(thread)) if Instant::now() < deadline => thread,
            _ => return Err(Overload::WaitedTooLong),
        };
        let runtime = pool.runtime.as_ref().ok_or(Overload::Panicked)?;
        let unused_states = Arc::clone(&pool.unused_states);
        let unused_state = lock(&unused_states).pop();
        let mut state = unused_state.unwrap_or_else(&pool.new_state);
        let task = runtime.spawn_blocking(move || {
            // Released when the work ends, even if its request has been dropped.
            let _permits = (slot, thread);
            let outcome = work(&mut state);
            lock(&unused_states).push(state);
            outcome
        });
        task.await.map_err(|_| Overload::Panicked)
    }
}

impl<S> Clone for Workers<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Workers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Workers")
    }
}

impl<S> Drop for Pool<S> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime blocks, which panics in asynchronous code.
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Priority of the threads, which can't be raised again without privileges (docs/decisions/scheduling.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A nice value of 4 (sched(7)): next to another program that uses all cores, the threads have 29 % of them.
    Low,
    /// The idle scheduling class (`SCHED_IDLE`, sched(7)): any thread that wakes up preempts them at once, and another program
    /// that uses all cores stops them almost entirely.
    Idle,
}

impl Priority {
    /// Gives the priority to the calling thread.
    pub fn apply(self) {
        static WARNING: Once = Once::new();
        let applied = match self {
            // Of the calling thread: Linux has a nice value for each.
            Self::Low => setpriority_process(None, LOW_NICE).map_err(|error| error.to_string()),
            Self::Idle => {
                let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
                    .map_err(|error| format!("{error:?}"))
            }
        };
        if let Err(error) = applied {
            WARNING.call_once(|| {
                tracing::warn!(error, "can't lower the priority of worker threads; they compete with request handling");
            });
        }
    }
}

/// Each step is a factor of 1.25 in the share of a core.
const LOW_NICE: i32 = 4;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    fn one_thread(queue_max: usize, queue_timeout: Duration) -> Workers<()> {
        Workers::start("test", Priority::Low, &WorkersConfig { threads: 1, queue_max, queue_timeout }, || ()).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_fails_at_once() {
        let workers = one_thread(1, Duration::from_mins(1));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (entered, is_running) = oneshot::channel();
        let running = {
            let workers = workers.clone();
            tokio::spawn(async move {
                let work = move |(): &mut ()| {
                    let _ = entered.send(());
                    let _ = held.recv();
                };
                workers.run(work).await
            })
        };
        is_running.await.unwrap();
        let mut waiting = Box::pin(workers.run(|()| 1));
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(workers.run(|()| 2).await, Err(Overload::QueueFull));
        release.send(()).unwrap();
        assert_eq!((running.await.unwrap(), waiting.await), (Ok(()), Ok(1)));
    }

    #[tokio::test]
    async fn dropped_or_late_work_does_not_start() {
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let workers = one_thread(8, Duration::ZERO);
        let late = workers.run(|()| BEGUN.fetch_add(1, Ordering::SeqCst)).await;
        assert_eq!(late, Err(Overload::WaitedTooLong));
        let workers = one_thread(8, Duration::from_mins(1));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let mut first = Box::pin(workers.run(move |()| held.recv().is_ok()));
        assert!((&mut first).now_or_never().is_none());
        let mut gone = Box::pin(workers.run(|()| BEGUN.fetch_add(1, Ordering::SeqCst)));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        assert_eq!(workers.run(|()| BEGUN.load(Ordering::SeqCst)).await, Ok(0));
    }

    #[tokio::test]
    async fn waiting_times_out_while_the_thread_is_busy() {
        let workers = one_thread(8, Duration::from_millis(300));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (entered, is_running) = oneshot::channel();
        let mut first = Box::pin(workers.run(move |()| entered.send(()).is_ok() && held.recv().is_ok()));
        assert!((&mut first).now_or_never().is_none());
        is_running.await.unwrap();
        assert_eq!(workers.run(|()| ()).await, Err(Overload::WaitedTooLong));
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true), "running work is not cut");
    }

    /// Work that ends only when it is stopped.
    fn until_stopped(entered: oneshot::Sender<()>) -> impl FnOnce(&mut (), &StopSignal) + Send + 'static {
        |(), stop| {
            let _ = entered.send(());
            while !stop.is_stopped() {
                std::thread::yield_now();
            }
        }
    }

    #[tokio::test]
    async fn dropping_the_future_stops_the_work_and_frees_the_thread() {
        let workers = one_thread(8, Duration::from_mins(1));
        let (entered, is_running) = oneshot::channel();
        let mut dropped = Box::pin(workers.run_stoppable(Duration::from_mins(1), until_stopped(entered)));
        assert!((&mut dropped).now_or_never().is_none());
        is_running.await.unwrap();
        drop(dropped);
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn the_deadline_stops_the_work_and_frees_the_thread() {
        let workers = one_thread(8, Duration::from_mins(1));
        let (entered, is_running) = oneshot::channel();
        let mut late = Box::pin(workers.run_stoppable(Duration::from_millis(1), until_stopped(entered)));
        assert!((&mut late).now_or_never().is_none());
        is_running.await.unwrap();
        assert_eq!(late.await, Err(Overload::TookTooLong));
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_stop_signal_wakes_its_waiters() {
        let stop = StopSignal::default();
        let mut stopped = Box::pin(stop.stopped());
        assert!((&mut stopped).now_or_never().is_none());
        stop.stop();
        stopped.await;
        stop.stopped().await;
    }

    #[tokio::test]
    async fn the_pool_survives_work_that_panics() {
        let workers = one_thread(1, Duration::from_mins(1));
        assert_eq!(workers.run(|()| panic!("expected")).await.map(|(): ()| ()), Err(Overload::Panicked));
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn idle_threads_drop_their_state_and_a_new_one_is_made() {
        let config = WorkersConfig { threads: 2, queue_max: 8, queue_timeout: Duration::from_mins(1) };
        let state = Arc::new(());
        let workers = Workers::start("test", Priority::Low, &config, {
            let state = Arc::clone(&state);
            move || Arc::clone(&state)
        })
        .unwrap();
        assert_eq!(workers.run(|state| Arc::strong_count(state)).await, Ok(3));
        while Arc::strong_count(&state) > 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(workers.run(|state| Arc::strong_count(state)).await, Ok(3));
    }
}
