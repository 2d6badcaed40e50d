//! The fuzz targets without a fuzzer: every seed, and the same few thousand spoilt ones each time. docs/fuzzing.md says how
//! they are run for longer, guided by coverage.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rstest::rstest;

use crate::support::spoilt::Spoilt;

#[expect(unreachable_pub, reason = "the fuzz crate's library, as it is there")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Inputs made of each seed.
const SPOILT: usize = 150;
/// A corpus that somebody reads.
const MOST_BYTES: usize = 64 * 1024;

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    seeds.sort();
    seeds
}

#[rstest]
#[case::token_request("token_request")]
#[case::subject_token("subject_token")]
#[case::token_response("token_response")]
#[case::key_set("key_set")]
#[case::partner_file("partner_file")]
#[case::logout_token("logout_token")]
#[case::sealed_entry("sealed_entry")]
fn every_seed_and_what_is_near_it_holds(#[case] target: &str) {
    let (_, check) = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    let holds = |(path, seed): &(PathBuf, Vec<u8>)| {
        std::panic::catch_unwind(|| check(seed)).unwrap_or_else(|_| panic!("{}", path.display()))
    };
    let accepted = seeds.iter().filter(|seed| holds(seed)).count();
    assert!((1..seeds.len()).contains(&accepted), "{accepted} of {} seeds are accepted", seeds.len());

    let cases = u32::try_from(SPOILT * seeds.len()).unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let spoilt = prop::collection::vec(Spoilt::with(any::<u8>()), 1..4);
    let outcome = TestRunner::new_with_rng(config, rng).run(&(0..seeds.len(), spoilt), |(which, spoilt)| {
        check(&spoilt.iter().fold(seeds[which].1.clone(), |input, spoilt| spoilt.of(&input)));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_corpus_is_small_and_each_target_has_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let directories = |name: &str| fs::read_dir(root.join(name)).unwrap().count();
    assert_eq!(directories("seeds"), targets::TARGETS.len());
    assert_eq!(directories("targets"), targets::TARGETS.len());
    let bytes: usize =
        targets::TARGETS.iter().flat_map(|(target, _)| seeds(target)).map(|(_, seed)| seed.len()).sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes of seeds");
}
