//! Bytes and messages: what a frame costs to write, to cut and to read.

#![allow(missing_docs, reason = "the macros of Criterion write undocumented functions")]
#![expect(clippy::unwrap_used, reason = "a bench ends where it meets what it does not expect")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ghost_sync_core::{
    ClientMessage, Decoder, Delivery, MAX_SERVER_FRAME, MessageType, RoomId, Seat, SendFlags,
    ServerMessage,
};

/// Frames in a buffer that is cut: a second of a client at 60 Hz.
const FRAMES: u64 = 60;

/// Bytes of a length prefix.
const PREFIX: usize = 4;

const PAYLOADS: [usize; 3] = [64, 256, 1024];

fn said(payload: &[u8]) -> ClientMessage<'_> {
    let (delivery, flags) = (Delivery::Reliable, SendFlags::NONE);
    let message_type = MessageType::RAW;
    ClientMessage::Broadcast { room: RoomId(1), delivery, flags, message_type, payload }
}

fn heard(seq: u64, payload: &[u8]) -> ServerMessage<'_> {
    let (room, sender, delivery) = (RoomId(1), Seat(2), Delivery::Reliable);
    let message_type = MessageType::RAW;
    ServerMessage::Broadcast { room, seq, sender, delivery, message_type, payload }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/encode");
    for size in PAYLOADS {
        let payload = vec![7; size];
        let mut frame = BytesMut::with_capacity(2 * size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("client", size), |bencher| {
            bencher.iter(|| {
                frame.clear();
                said(black_box(&payload)).encode(&mut frame);
            });
        });
        assert_eq!(ClientMessage::decode(&frame[PREFIX..]), Ok(said(&payload)));
        group.bench_function(BenchmarkId::new("server", size), |bencher| {
            bencher.iter(|| {
                frame.clear();
                heard(black_box(7), &payload).encode(&mut frame);
            });
        });
        assert_eq!(ServerMessage::decode(&frame[PREFIX..]), Ok(heard(7, &payload)));
    }
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/decode");
    for size in PAYLOADS {
        let payload = vec![7; size];
        let mut frame = BytesMut::new();
        said(&payload).encode(&mut frame);
        assert_eq!(ClientMessage::decode(&frame[PREFIX..]), Ok(said(&payload)));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("client", size), |bencher| {
            bencher.iter(|| ClientMessage::decode(black_box(&frame[PREFIX..])).is_ok());
        });
        let mut frame = BytesMut::new();
        heard(7, &payload).encode(&mut frame);
        assert_eq!(ServerMessage::decode(&frame[PREFIX..]), Ok(heard(7, &payload)));
        group.bench_function(BenchmarkId::new("server", size), |bencher| {
            bencher.iter(|| ServerMessage::decode(black_box(&frame[PREFIX..])).is_ok());
        });
    }
}

/// Cuts and reads a buffer of frames, as it comes and with a read that ends in the middle of one.
fn cut(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/cut");
    for size in PAYLOADS {
        let payload = vec![7; size];
        let mut input = BytesMut::new();
        (1..=FRAMES).for_each(|seq| heard(seq, &payload).encode(&mut input));
        group.throughput(Throughput::ElementsAndBytes {
            elements: FRAMES,
            bytes: input.len() as u64,
        });
        for (reads, middle) in [("one read", input.len()), ("two reads", input.len() / 2 + 1)] {
            let mut decoder = Decoder::new(MAX_SERVER_FRAME);
            group.bench_function(BenchmarkId::new(reads, size), |bencher| {
                bencher.iter(|| {
                    let mut last = 0;
                    for mut read in [&input[..middle], &input[middle..]] {
                        while let Some(frame) = decoder.next_frame(&mut read).unwrap() {
                            let message = ServerMessage::decode(frame);
                            if let Ok(ServerMessage::Broadcast { seq, .. }) = message {
                                last = seq;
                            }
                        }
                    }
                    assert_eq!(last, FRAMES);
                });
            });
        }
    }
}

criterion_group!(benches, encode, decode, cut);
criterion_main!(benches);
