//! Work that takes a core for long, on bounded threads of its own.
//!
//! The number of threads bounds the cores and the memory that such work takes. The threads get the time that those which
//! serve sockets leave, so that small requests keep their speed beside it. What waits is bounded in number and in time;
//! past it the answer is [`Overload`] at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// How much is done at once, and how much may wait.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    /// Pieces of work done at once.
    pub threads: usize,
    /// Pieces that may wait.
    pub queue_max: usize,
    /// How long one may wait.
    pub queue_timeout: Duration,
}

/// What a thread keeps between two pieces of work.
pub trait Worker: Send + 'static {
    /// Called when the thread has had nothing to do for a second: gives memory back.
    fn rest(&mut self) {}
}

/// A worker that keeps nothing.
impl Worker for () {}

/// The work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// Too much waits already.
    #[error("the queue is full")]
    QueueFull,
    /// It waited too long.
    #[error("it waited too long in the queue")]
    WaitedTooLong,
    /// It did not end by its deadline, and was stopped.
    #[error("it took too long")]
    TookTooLong,
    /// It panicked, which is a fault of ours; the thread lives on.
    #[error("the work panicked")]
    Panicked,
}

/// The stop signal of running work: its outcome is no longer awaited, because the request was dropped or its deadline has
/// passed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<Stop>);

#[derive(Debug, Default)]
struct Stop {
    is_stopped: AtomicBool,
    notify: Notify,
}

impl StopSignal {
    /// Whether the work should end. One atomic load.
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped.load(Ordering::Relaxed)
    }

    /// Completes when the work should end.
    pub async fn stopped(&self) {
        let notified = self.0.notify.notified();
        if !self.is_stopped() {
            notified.await;
        }
    }

    /// Gives the signal; it is not taken back.
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

/// The threads. Cheap to clone; they end with the last clone.
#[derive(Debug)]
pub struct Workers<W> {
    jobs: SyncSender<Job<W>>,
    queue_timeout: Duration,
}

impl<W> Clone for Workers<W> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), queue_timeout: self.queue_timeout }
    }
}

type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// A thread that has had nothing to do for this long rests.
const IDLE: Duration = Duration::from_secs(1);

impl<W: Worker> Workers<W> {
    /// Starts threads called `name`, each with a worker of its own.
    pub fn start(name: &str, config: &WorkersConfig, worker: impl Fn() -> W) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(config.queue_max);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..config.threads {
            let (queue, worker) = (Arc::clone(&queue), worker());
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || run(worker, &queue))?;
        }
        Ok(Self { jobs, queue_timeout: config.queue_timeout })
    }

    /// Does `work` as soon as a thread is free. Work that nobody waits for any more, or that waited too long, is not
    /// begun, and who waited too long is told so at once.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut W) -> T + Send + 'static) -> Result<T, Overload> {
        self.submit(|worker, _| work(worker), &StopSignal::default()).await
    }

    /// Does the same with work that polls a stop signal. The signal is given when this future is dropped, and `limit`
    /// after the call, the wait in the queue included: the outcome is then [`Overload::TookTooLong`] at once.
    pub async fn run_stoppable<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut W, &StopSignal) -> T + Send + 'static,
    ) -> Result<T, Overload> {
        let stop = StopOnDrop(StopSignal::default());
        timeout(limit, self.submit(work, &stop.0)).await.unwrap_or(Err(Overload::TookTooLong))
    }

    async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut W, &StopSignal) -> T + Send + 'static,
        stop: &StopSignal,
    ) -> Result<T, Overload> {
        let (reply, answer) = oneshot::channel();
        let deadline = Instant::now() + self.queue_timeout;
        // Taken once: by the thread that begins the work, or by who no longer waits for it.
        let is_taken = Arc::new(AtomicBool::new(false));
        let (may_begin, stop) = (Arc::clone(&is_taken), stop.clone());
        let job: Job<W> = Box::new(move |worker| {
            if reply.is_closed() || may_begin.swap(true, Ordering::SeqCst) {
                return;
            }
            let done = if Instant::now() < deadline {
                catch_unwind(AssertUnwindSafe(|| work(worker, &stop))).map_err(|_| Overload::Panicked)
            } else {
                Err(Overload::WaitedTooLong)
            };
            // Who asked may have gone away meanwhile.
            let _ = reply.send(done);
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Overload::QueueFull,
            TrySendError::Disconnected(_) => Overload::Panicked,
        })?;
        let mut answer = pin!(answer);
        match timeout_at(deadline, &mut answer).await {
            Ok(done) => done.unwrap_or(Err(Overload::Panicked)),
            Err(_) if !is_taken.swap(true, Ordering::SeqCst) => Err(Overload::WaitedTooLong),
            // It has begun: it will not take long.
            Err(_) => answer.await.unwrap_or(Err(Overload::Panicked)),
        }
    }
}

/// Makes the calling thread one that whoever wants the core next takes it from at once (`SCHED_IDLE`, sched(7)). A lower
/// priority alone does not: who wakes up waits for the end of a slice, at each hop of a request. It is not starved by a
/// crowd of small requests either: those wait for sockets again and again. Other programs come first, too, but for those in
/// another control group, as each container has one.
pub fn yield_to_others() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::warn!(?error, "a worker thread keeps the priority of the others");
    }
}

fn run<W: Worker>(mut worker: W, queue: &Mutex<Receiver<Job<W>>>) {
    yield_to_others();
    loop {
        // Whoever holds the lock waits for the next job; the others wait for the lock.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(IDLE);
        match next {
            Ok(job) => job(&mut worker),
            Err(RecvTimeoutError::Timeout) => worker.rest(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::FutureExt as _;

    use super::*;

    fn one_thread(queue_max: usize, queue_timeout: Duration) -> Workers<()> {
        Workers::start("test", &WorkersConfig { threads: 1, queue_max, queue_timeout }, || ()).unwrap()
    }

    #[tokio::test]
    async fn what_does_not_fit_into_the_queue_is_refused_at_once() {
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
    async fn work_that_nobody_waits_for_is_not_begun_and_late_work_neither() {
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
    async fn who_waited_too_long_is_told_so_while_the_thread_is_at_work() {
        let workers = one_thread(8, Duration::from_millis(300));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (entered, is_running) = oneshot::channel();
        let mut first = Box::pin(workers.run(move |()| entered.send(()).is_ok() && held.recv().is_ok()));
        assert!((&mut first).now_or_never().is_none());
        is_running.await.unwrap();
        assert_eq!(workers.run(|()| ()).await, Err(Overload::WaitedTooLong));
        release.send(()).unwrap();
        assert_eq!(first.await, Ok(true), "what has begun is not cut");
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
    async fn dropping_the_future_stops_the_work_and_frees_its_thread() {
        let workers = one_thread(8, Duration::from_mins(1));
        let (entered, is_running) = oneshot::channel();
        let mut dropped = Box::pin(workers.run_stoppable(Duration::from_mins(1), until_stopped(entered)));
        assert!((&mut dropped).now_or_never().is_none());
        is_running.await.unwrap();
        drop(dropped);
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn the_deadline_stops_the_work_and_frees_its_thread() {
        let workers = one_thread(8, Duration::from_mins(1));
        let (entered, is_running) = oneshot::channel();
        let mut late = Box::pin(workers.run_stoppable(Duration::from_millis(1), until_stopped(entered)));
        assert!((&mut late).now_or_never().is_none());
        is_running.await.unwrap();
        assert_eq!(late.await, Err(Overload::TookTooLong));
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_stop_signal_wakes_those_who_await_it() {
        let stop = StopSignal::default();
        let mut stopped = Box::pin(stop.stopped());
        assert!((&mut stopped).now_or_never().is_none());
        stop.stop();
        stopped.await;
        stop.stopped().await;
    }

    #[tokio::test]
    async fn a_thread_survives_work_that_panics() {
        let workers = one_thread(1, Duration::from_mins(1));
        assert_eq!(workers.run(|()| panic!("as it must")).await.map(|(): ()| ()), Err(Overload::Panicked));
        assert_eq!(workers.run(|()| 1).await, Ok(1));
    }
}
