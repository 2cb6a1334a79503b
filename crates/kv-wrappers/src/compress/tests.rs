use super::*;
use crate::tour;
use kv_core::{Capability, ErrorKind, Kv, Mark, Value};
use kv_memory::MemoryStore;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn config(algorithm: Algorithm) -> CompressConfig {
    CompressConfig::default()
        .algorithm(algorithm)
        .threshold_bytes(64)
        .max_unpacked_bytes(LIMIT)
}

/// The same store through the layer, and as it is.
async fn opened(config: CompressConfig) -> (Kv, Kv) {
    let store = MemoryStore::default();
    let layer: Arc<dyn Layer> = Arc::new(Compress::new(config).unwrap());
    let kv = tour::open(&store, [layer]).await;
    (kv, tour::open(&store, []).await)
}

const BOTH: [Algorithm; 2] = [Algorithm::Zstd, Algorithm::Lz4];

fn packer(config: CompressConfig) -> Packer {
    Packer::new(config).unwrap()
}

/// Bytes that no algorithm makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..length).map(|_| random.u8(..)).collect()
}

#[tokio::test]
async fn case_140_values_go_everywhere_and_come_back() {
    for algorithm in BOTH {
        for length in [3, 2_000] {
            let (kv, raw) = opened(config(algorithm)).await;
            let text = "compressible ".repeat(length / 13 + 1);
            tour::tour(&kv, &text).await;
            let stored = tour::stored(&raw).await;
            assert!(stored.len() > 8, "{}", stored.len());
            if length > 64 {
                let longest = stored.iter().map(|it| it.as_bytes().len()).max();
                assert!(longest < Some(200), "{longest:?}");
            }
        }
    }
}

#[tokio::test]
async fn case_140_the_threshold_decides_and_noise_grows_by_the_header() {
    for algorithm in BOTH {
        let (kv, raw) = opened(config(algorithm)).await;
        let length = async |value: &[u8]| {
            kv.set("a", value).await.unwrap();
            assert_eq!(kv.get("a").await.unwrap(), Some(value.into()));
            let stored = raw.get("a").await.unwrap().unwrap();
            stored.as_bytes().len()
        };
        assert_eq!(length(b"").await, 2);
        assert_eq!(length(&[b'x'; 63]).await, 65, "below the threshold");
        assert!(length(&[b'x'; 64]).await < 64, "at the threshold");
        assert!(length(&[b'x'; 100_000]).await < 1_000);
        for bytes in [64, 65, 1_000, 70_000] {
            assert_eq!(length(&noise(bytes)).await, bytes + 2);
        }
    }
}

/// The format, for good: what is stored must stay readable.
#[test]
fn frames_are_these_bytes() {
    let lz4 = packer(config(Algorithm::Lz4));
    let stored = lz4.pack("abc".into()).unwrap();
    assert_eq!(stored.as_bytes(), b"\xC1\x00abc");
    // Another version may pack otherwise; what these made is to be read for ever.
    let block = b"\xC1\x01\x00\x00\x00\x64\xaf\x70\x7a\x64\x1f\x61\x01\x00\x4a\x60aaaaaa";
    let unpacked = lz4.unpack(block.as_slice().into()).unwrap();
    assert_eq!(unpacked, Value::from("a".repeat(100)));
    let zstd = b"\xC1\x02\x00\x00\x00\x64\xaf\x70\x7a\x64\x28\xb5\x2f\xfd\x20\x64\x45\x00\x00\x10aa\x01\x00\x3f\x01\x2c";
    let unpacked = lz4.unpack(zstd.as_slice().into()).unwrap();
    assert_eq!(unpacked, Value::from("a".repeat(100)));
    // Numbers have no frame.
    let max = i64::MIN.to_string();
    assert_eq!(lz4.pack(max.as_str().into()).unwrap(), max.as_str());
}

#[tokio::test]
async fn case_140_damage_is_a_codec_error() {
    for algorithm in BOTH {
        let (kv, raw) = opened(config(algorithm)).await;
        let value = Value::from("compressible ".repeat(100));
        kv.set("a", &value).await.unwrap();
        let good = raw.get("a").await.unwrap().unwrap();
        let good = good.as_bytes();
        let check = async |bad: &[u8]| {
            raw.set("a", bad).await.unwrap();
            let error = kv.get("a").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Codec, "{bad:?}");
            assert_eq!((error.operation(), error.key()), (Some("get"), Some("a")));
        };
        // One bit off: an error, or a bit that does not matter; never another value.
        let mut errors = 0;
        for bit in (0..good.len() * 8).filter(|bit| bit / 8 != 1) {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            raw.set("a", bad).await.unwrap();
            match kv.get("a").await {
                Ok(read) => assert_eq!(read.as_ref(), Some(&value), "bit {bit}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Codec);
                    errors += 1;
                }
            }
        }
        assert!(errors > good.len() * 7, "{errors} of {} bytes", good.len());
        for end in 0..good.len() {
            check(&good[..end]).await;
        }
        check(&[good, b"x"].concat()).await;
        check(b"\xC1\x03abc").await;
        check(b"plain").await;
        // The good one still opens.
        raw.set("a", good).await.unwrap();
        assert!(kv.get("a").await.is_ok());
    }
}

#[tokio::test]
async fn case_140_a_bomb_ends_before_it_unpacks() {
    for algorithm in BOTH {
        let large = packer(config(algorithm).max_unpacked_bytes(1 << 24));
        let bomb = large.pack(vec![0; 1 << 24].into()).unwrap();
        assert!(bomb.as_bytes().len() < 1 << 17);
        let (kv, raw) = opened(config(algorithm)).await;
        raw.set("a", bomb.clone()).await.unwrap();
        let error = kv.get("a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Codec);
        assert!(error.to_string().contains("max_unpacked_bytes"), "{error}");
        // One that lies about its length is damaged, and no longer than it said.
        let mut lie = bomb.as_bytes().to_vec();
        lie[2..6].copy_from_slice(&1000_u32.to_be_bytes());
        raw.set("a", lie).await.unwrap();
        assert_eq!(kv.get("a").await.unwrap_err().kind(), ErrorKind::Codec);

        let at_most = kv.set("a", vec![0; LIMIT]).await;
        assert!(at_most.is_ok());
        assert_eq!(kv.get("a").await.unwrap(), Some(vec![0; LIMIT].into()));
        let beyond = kv.set("a", vec![0; LIMIT + 1]).await.unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::TooLarge);
        let items = [("b", vec![0; 9]), ("c", vec![0; LIMIT + 1])];
        let answers = kv
            .set_many_with(items, kv_core::SetOptions::default())
            .await;
        assert!(matches!(answers.unwrap()[..], [Ok(true), Err(_)]));
    }
}

#[tokio::test]
async fn case_140_values_from_before_are_read_in_that_mode_only() {
    let (strict, raw) = opened(config(Algorithm::Zstd)).await;
    raw.set("a", "from before").await.unwrap();
    let error = strict.get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Codec);
    assert!(error.to_string().contains("legacy = \"read\""), "{error}");

    let config = config(Algorithm::Zstd).legacy(LegacyValues::Read);
    let (kv, raw) = opened(config).await;
    for old in ["from before", "", "x"] {
        raw.set("a", old).await.unwrap();
        assert_eq!(kv.get("a").await.unwrap(), Some(old.into()));
    }
    raw.set("a", &b"\xC1\x02too short"[..]).await.unwrap();
    let damaged = kv.get("a").await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Codec, "a frame is a frame");
}

#[tokio::test]
async fn counters_count_as_without_the_layer() {
    let (kv, _) = opened(config(Algorithm::Zstd)).await;
    kv.set("n", "41").await.unwrap();
    assert_eq!(kv.increment("n", 1).await.unwrap(), 42);
    assert_eq!(kv.get("n").await.unwrap(), Some("42".into()));
    assert_eq!(kv.hincrement("h", "n", -3).await.unwrap(), -3);
    assert_eq!(kv.hget("h", "n").await.unwrap(), Some("-3".into()));
    kv.set("n", "007").await.unwrap();
    let error = kv.increment("n", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAnInteger);
    assert_eq!(kv.get("n").await.unwrap(), Some("007".into()));
}

#[tokio::test]
async fn comparing_values_and_two_bytes_of_each_are_subtracted() {
    let (kv, raw) = opened(config(Algorithm::Zstd)).await;
    let (left, all) = (kv.capabilities(), raw.capabilities());
    assert_eq!(left.can, all.can.without(Capability::CompareValue));
    assert_eq!(left.max_value_bytes, LIMIT);
    let error = kv.set_with("a", "b", kv_core::When::IfValue(Mark::from("x")));
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let told = |config| Compress::new(config).unwrap_err().to_string();
    let usual = CompressConfig::default();
    let lz4 = usual.algorithm(Algorithm::Lz4).level(3);
    assert!(told(lz4).starts_with("lz4 has no level"));
    assert!(told(usual.level(23)).starts_with("zstd has no level 23"));
    assert!(told(usual.level(0)).starts_with("zstd has no level 0"));
    assert!(told(usual.max_unpacked_bytes(0)).starts_with("max_unpacked_bytes must"));
    #[cfg(target_pointer_width = "64")]
    assert!(told(usual.max_unpacked_bytes(1 << 32)).starts_with("max_unpacked_bytes must"));
    assert!(Compress::new(usual.level(-5)).is_ok());
}

proptest! {
    #[test]
    fn any_value_comes_back(
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            // Long and regular, and everything in between.
            (prop::collection::vec(any::<u8>(), 1..20), 1..200_usize).prop_map(|(it, n)| it.repeat(n)),
            any::<i64>().prop_map(|it| it.to_string().into_bytes()),
        ],
        threshold in 0..300_usize,
        lz4 in any::<bool>(),
    ) {
        let algorithm = if lz4 { Algorithm::Lz4 } else { Algorithm::Zstd };
        let packer = packer(config(algorithm).threshold_bytes(threshold));
        let packed = packer.pack(value.clone().into()).unwrap();
        prop_assert!(packed.as_bytes().len() <= value.len() + 2);
        prop_assert_eq!(packer.unpack(packed).unwrap(), Value::from(value));
    }

    #[test]
    fn no_bytes_make_it_panic(stored in prop::collection::vec(any::<u8>(), 0..100), method in 0..4_u8) {
        let packer = packer(config(Algorithm::Zstd));
        let framed = [&[0xC1, method, 0, 0], &*stored].concat();
        let _ = packer.unpack(framed.into());
        let _ = packer.unpack(stored.into());
    }
}
