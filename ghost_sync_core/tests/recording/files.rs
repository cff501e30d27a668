//! Files that are cut off, damaged or forged.

use ghost_sync_core::recording::{Ending, Recording, RecordingError};

use crate::support::recorded;

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_is_read_up_to_its_last_whole_record() {
    let bytes = recorded().await;
    let whole = Recording::read(&bytes[..]).unwrap();
    let all: Vec<_> = whole.events().collect();
    let mut before = 0;
    for len in 0..bytes.len() {
        match Recording::read(&bytes[..len]) {
            Ok(part) => {
                assert_eq!(part.ending(), Ending::CutOff);
                let events: Vec<_> = part.events().collect();
                assert_eq!(events, all[..events.len()]);
                assert!(events.len() >= before);
                before = events.len();
            }
            Err(RecordingError::NotARecording) => assert!(len < 10),
            Err(RecordingError::NoStart { .. }) => assert_eq!(before, 0),
            Err(error) => panic!("{len}: {error:?}"),
        }
    }
    assert_eq!(before, all.len());
}

#[tokio::test(start_paused = true)]
async fn a_flipped_bit_never_goes_unnoticed() {
    let bytes = recorded().await;
    let whole = Recording::read(&bytes[..]).unwrap();
    let all: Vec<_> = whole.events().collect();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match Recording::read(&bytes[..]) {
            // A length that points past the end looks like the end.
            Ok(part) => {
                assert_eq!(part.ending(), Ending::CutOff, "bit {bit}");
                let events: Vec<_> = part.events().collect();
                assert_eq!(events, all[..events.len()]);
            }
            Err(RecordingError::Corrupt { offset, .. }) => assert!(offset <= bit as u64 / 8),
            Err(RecordingError::NoStart { offset }) => assert_eq!(offset, 10),
            Err(RecordingError::NotARecording | RecordingError::UnknownVersion { .. }) => {
                assert!(bit < 80);
            }
            Err(error) => panic!("{bit}: {error:?}"),
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let error = Recording::read(&longer[..]).unwrap_err();
    assert!(
        matches!(error, RecordingError::Corrupt { offset, .. } if offset == bytes.len() as u64)
    );
}

/// Where the records of a file are: first byte of the header, length of the body.
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut at = 10;
    while at < bytes.len() {
        let len = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        records.push((at, len));
        at += 8 + len;
    }
    records
}

fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 }
        })
    })
}

/// Makes the checksum of a record right again.
fn sign(bytes: &mut [u8], (at, len): (usize, usize)) {
    let signed = [&bytes[at..at + 4], &bytes[at + 8..at + 8 + len]].concat();
    bytes[at + 4..at + 8].copy_from_slice(&crc_32(&signed).to_le_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_forged_record_is_refused_or_makes_sense() {
    let bytes = recorded().await;
    let mut sensible = 0;
    for record in records(&bytes) {
        for byte in record.0 + 8..record.0 + 8 + record.1 {
            for change in [0x01, 0x80, 0xff, 0x02] {
                let mut forged = bytes.clone();
                forged[byte] ^= change;
                sign(&mut forged, record);
                match Recording::read(&forged[..]) {
                    Ok(recording) => {
                        sensible += 1;
                        assert_eq!(recording.events().count(), 11);
                        recording.state_before(u64::MAX);
                        let _ = (recording.started_at(), recording.duration());
                    }
                    Err(RecordingError::Corrupt { offset, .. }) => {
                        assert!(offset >= record.0 as u64);
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }
    assert!(sensible > 0);
}

#[tokio::test(start_paused = true)]
async fn a_length_that_lies_takes_no_memory() {
    let mut bytes = recorded().await;
    bytes.truncate(18);
    for (len, expected) in [(64 << 20, "NoStart"), (u32::MAX, "Corrupt")] {
        bytes[10..14].copy_from_slice(&u32::to_le_bytes(len));
        let error = Recording::read(&bytes[..]).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}
