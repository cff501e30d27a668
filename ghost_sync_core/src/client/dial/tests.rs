use std::{cell::RefCell, future::pending};

use tokio::time::{Instant, timeout};

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// What a fake machine does with a call.
#[derive(Clone, Copy)]
enum Machine {
    Answers(u64),
    Fails(u64, io::ErrorKind),
    Ignores,
}

/// Calls these machines; returns what came of it, when, and when each was called.
async fn call(machines: &[Machine]) -> (io::Result<usize>, u64, Vec<u64>) {
    let start = Instant::now();
    let millis = || u64::try_from(start.elapsed().as_millis()).unwrap();
    let called = RefCell::new(Vec::new());
    let addrs = (0..machines.len()).map(|at| ([127, 0, 0, 1], u16::try_from(at).unwrap()).into());
    let dial = |addr: SocketAddr| {
        let at = usize::from(addr.port());
        called.borrow_mut().push(millis());
        async move {
            match machines[at] {
                Machine::Answers(after) => sleep(Duration::from_millis(after)).await,
                Machine::Fails(after, kind) => {
                    sleep(Duration::from_millis(after)).await;
                    return Err(kind.into());
                }
                Machine::Ignores => pending().await,
            }
            Ok(at)
        }
    };
    let result = race(addrs.collect(), dial, pin!(sleep(LIMIT))).await;
    let took = millis();
    (result, took, called.into_inner())
}

async fn error_of(machines: &[Machine]) -> (io::ErrorKind, u64) {
    let (result, took, _) = call(machines).await;
    (result.unwrap_err().kind(), took)
}

#[tokio::test(start_paused = true)]
async fn the_next_address_is_called_while_the_first_does_not_answer() {
    let (result, took, called) = call(&[Machine::Ignores, Machine::Answers(30)]).await;
    assert_eq!((result.unwrap(), took, called), (1, 280, vec![0, 250]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_at_once_is_the_only_one_that_is_called() {
    let (result, took, called) = call(&[Machine::Answers(200), Machine::Answers(0)]).await;
    assert_eq!((result.unwrap(), took, called), (0, 200, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_address_still_wins_over_a_slower_second() {
    let (result, took, called) = call(&[Machine::Answers(400), Machine::Answers(400)]).await;
    assert_eq!((result.unwrap(), took, called), (0, 400, vec![0, 250]));
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_next_address_is_called_at_once() {
    let refused = Machine::Fails(10, io::ErrorKind::ConnectionRefused);
    let machines = [Machine::Ignores, refused, refused, Machine::Answers(5)];
    let (result, took, called) = call(&machines).await;
    assert_eq!((result.unwrap(), took, called), (3, 275, vec![0, 250, 260, 270]));
}

#[tokio::test(start_paused = true)]
async fn the_most_telling_error_is_told() {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let fails = |kind| Machine::Fails(10, kind);
    for (machines, told) in [
        ([NetworkUnreachable, HostUnreachable, ConnectionRefused], ConnectionRefused),
        ([ConnectionRefused, TimedOut, NetworkUnreachable], ConnectionRefused),
        ([NetworkUnreachable, TimedOut, HostUnreachable], TimedOut),
        ([NetworkUnreachable, HostUnreachable, NetworkUnreachable], HostUnreachable),
    ] {
        assert_eq!(error_of(&machines.map(fails)).await, (told, 30));
    }
    let refused = fails(ConnectionRefused);
    assert_eq!(error_of(&[Machine::Ignores, refused]).await, (ConnectionRefused, 10_000));
    let unreachable = fails(NetworkUnreachable);
    assert_eq!(error_of(&[Machine::Ignores, unreachable]).await, (TimedOut, 10_000));
    assert_eq!(error_of(&[Machine::Ignores]).await, (TimedOut, 10_000));
}

#[tokio::test(start_paused = true)]
async fn all_attempts_are_dropped_once_one_connects() {
    struct Line<'a>(&'a RefCell<Vec<u16>>, u16);
    impl Drop for Line<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let dropped = RefCell::new(Vec::new());
    let dial = |addr: SocketAddr| {
        let line = Line(&dropped, addr.port());
        async move {
            if line.1 < 2 {
                pending::<()>().await;
            }
            Ok(())
        }
    };
    let addrs = (0..4).map(|port| ([127, 0, 0, 1], port).into()).collect();
    race(addrs, dial, pin!(sleep(LIMIT))).await.unwrap();
    dropped.borrow_mut().sort_unstable();
    assert_eq!(*dropped.borrow(), [0, 1, 2]);
}

#[test]
fn families_take_turns_and_no_address_comes_twice() {
    let addrs = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.1:1", "[::1]:1", "127.0.0.3:1", "[::2]:1"];
    let addrs = addrs.map(|addr| addr.parse::<SocketAddr>().unwrap());
    let turns = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "127.0.0.3:1"];
    assert_eq!(interleave(addrs.into_iter()), turns.map(|addr| addr.parse().unwrap()));
}

#[tokio::test]
async fn an_address_that_does_not_answer_does_not_hide_one_that_does() {
    // A listener whose queue is full leaves newcomers without an answer.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let deaf = socket.listen(1).unwrap();
    let deaf_addr = deaf.local_addr().unwrap();
    let fill: Vec<_> = (0..8).map(|_| tokio::spawn(TcpStream::connect(deaf_addr))).collect();
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addrs = [deaf_addr, listener.local_addr().unwrap()];
    let addr = addrs.as_slice().try_into().unwrap();
    let stream = timeout(Duration::from_secs(5), dial(&addr, LIMIT)).await;
    assert_eq!(stream.expect("an answer").unwrap().peer_addr().unwrap(), addrs[1]);
    fill.iter().for_each(tokio::task::JoinHandle::abort);
}
