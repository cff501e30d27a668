//! The fuzzers' targets on stable: their corpora, and cheap mutations of those.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a client takes what it does not expect as one that it knows nothing of"
)]

#[expect(unreachable_pub, reason = "public for the fuzzers' own crate")]
#[path = "../fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use targets::TARGETS;

#[test]
fn the_decoder_keeps_its_promises_near_its_corpus() {
    near_the_corpus("decoder");
}

#[test]
fn handshakes_keep_their_promises_near_their_corpus() {
    near_the_corpus("handshake");
}

#[test]
fn sessions_keep_their_promises_near_their_corpus() {
    near_the_corpus("session");
}

#[test]
fn tickets_keep_their_promises_near_their_corpus() {
    near_the_corpus("resume");
}

/// A blocked client leaves a room and joins it again with history, which holds once
/// more what it was not sent of its first stay.
#[test]
fn the_last_value_of_a_stay_is_not_dropped_for_its_replay() {
    targets::session(&[
        0xaa, 0xa8, 0x57, 0xff, 0xa0, 0xda, 0x28, 0x7a, 0x96, 0x82, 0x94, 0x00, 0x06, 0x88, 0x00,
        0xaf, 0x0f, 0xbd, 0x3f, 0x85, 0x09, 0x54, 0x2b, 0xd3, 0xf3, 0xf8, 0xa5, 0xeb, 0xf4, 0xc9,
        0xec, 0xb9, 0x1a, 0xff, 0xff, 0x3a, 0x30, 0x06, 0xaa, 0x08, 0x3c,
    ]);
}

/// Runs a target on its corpus, then on mutations until there were enough or the
/// time is over: the inputs are the same every time, how many is the machine's doing.
fn near_the_corpus(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "no corpus for {name}");
    for input in &corpus {
        run(*target, input);
    }
    let end = Instant::now() + ENOUGH;
    let mut random = 7;
    for _ in 0..MUTATIONS {
        let input = mutation(&corpus, &mut random);
        run(*target, &input);
        if Instant::now() > end {
            break;
        }
    }
}

/// Runs a target on an input that is shown if it fails.
fn run(target: fn(&[u8]), input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        eprintln!("the input: {input:?}");
        std::panic::resume_unwind(panic);
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(folder).expect("the corpus is in the repository");
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a readable file")).collect()
}

/// Two inputs spliced, then a few bytes changed, put in or taken out.
fn mutation(corpus: &[Vec<u8>], random: &mut u64) -> Vec<u8> {
    let mut pick = |n: usize| usize::try_from(next(random) % n.max(1) as u64).unwrap_or(0);
    let mut input = corpus[pick(corpus.len())].clone();
    if pick(4) == 0 {
        let other = &corpus[pick(corpus.len())];
        input.truncate(pick(input.len() + 1));
        input.extend_from_slice(&other[pick(other.len() + 1)..]);
    }
    for _ in 0..1 + pick(6) {
        let at = pick(input.len() + 1);
        let byte = [pick(256), 0, 1, 255, 128][pick(5)].to_le_bytes()[0];
        match pick(4) {
            0 => input.insert(at, byte),
            1 if at < input.len() => drop(input.remove(at)),
            _ if at < input.len() => input[at] = byte,
            _ => input.push(byte),
        }
    }
    input
}

/// The next number of a splitmix64 sequence (Steele, Lea, Flood 2014).
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *random;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const MUTATIONS: usize = 20_000;

/// How long one target may take, on the slowest machine.
const ENOUGH: Duration = Duration::from_secs(3);
