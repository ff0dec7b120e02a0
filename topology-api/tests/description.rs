//! What is found wrong with a topology that came as plain data.

use std::collections::BTreeSet;

use topology_api::prelude::*;
use topology_api::{
    BoltDeclarer, ComponentDescription, Description, EXECUTORS_MAX, FieldDescription, GROUPINGS,
    InputDescription, StreamDescription,
};

fn stream(name: &str) -> StreamDescription {
    let word = FieldDescription { name: "word".into(), type_name: "text".into() };
    StreamDescription { name: name.into(), tuple: "Word".into(), fields: vec![word] }
}

fn spout(name: &str) -> ComponentDescription {
    ComponentDescription {
        name: name.into(),
        spout: true,
        executors: 1,
        tasks: 1,
        outputs: vec![stream("default")],
        inputs: Vec::new(),
    }
}

fn input(component: &str) -> InputDescription {
    InputDescription {
        component: component.into(),
        stream: "default".into(),
        grouping: "shuffle".into(),
        fields: Vec::new(),
    }
}

fn bolt(name: &str, sources: &[&str]) -> ComponentDescription {
    let inputs = sources.iter().map(|source| input(source)).collect();
    ComponentDescription { spout: false, inputs, ..spout(name) }
}

fn topology(components: Vec<ComponentDescription>) -> Description {
    Description { name: "demo".into(), components, key_groups: 720, ..Default::default() }
}

/// The only problem of a topology.
fn problem(topology: &Description) -> String {
    let problems = topology.problems();
    assert_eq!(problems.len(), 1, "one mistake, one sentence: {problems:#?}");
    let problem = problems[0].clone();
    assert!(problem.ends_with(['.', '?']), "a sentence ends: {problem}");
    problem
}

fn assert_problem(topology: &Description, part: &str) {
    let problem = problem(topology);
    assert!(problem.contains(part), "{problem:?} should say {part:?}");
}

/// `words` to `split` to `count`, with one change.
fn word_count(change: impl FnOnce(&mut Vec<ComponentDescription>)) -> Description {
    let mut components = vec![spout("words"), bolt("split", &["words"]), bolt("count", &["split"])];
    change(&mut components);
    topology(components)
}

#[test]
fn a_sound_topology_has_no_problems() {
    assert_eq!(word_count(|_| ()).problems(), Vec::<String>::new());
    let diamond = word_count(|c| c[2].inputs.push(input("words")));
    assert_eq!(diamond.problems(), Vec::<String>::new(), "two ways to one bolt are no cycle");
}

#[test]
fn numbers_that_cannot_be_are_told() {
    assert_problem(&word_count(|c| c[1].tasks = 0), "`split` has no tasks");
    assert_problem(&word_count(|c| c[1].executors = 0), "`split` has no executors");
    assert_problem(&word_count(|c| c[1].executors = 2), "2 executors for 1 tasks");
    let many = word_count(|c| {
        c[1].executors = EXECUTORS_MAX;
        c[1].tasks = EXECUTORS_MAX;
    });
    assert_problem(&many, "16385 executors and 16383 are the most");
    let mut groups = word_count(|_| ());
    groups.key_groups = 100;
    assert_problem(&groups, "100 key groups");
}

#[test]
fn names_that_cannot_be_are_told() {
    assert_problem(&word_count(|c| c.push(spout("a b"))), "Component name \"a b\" holds ' '");
    assert_problem(&word_count(|c| c[0].outputs.push(stream("../x"))), "in component `words`");
    assert_problem(&word_count(|c| c[0].outputs.push(stream("default"))), "several streams");
    assert_problem(&word_count(|c| c.push(spout("words"))), "components are called `words`");
    let mut named = word_count(|_| ());
    named.name = String::new();
    assert_problem(&named, "Topology name \"\" is empty");
}

#[test]
fn inputs_that_lead_nowhere_are_told_with_what_was_meant() {
    let wrong = word_count(|c| c.push(bolt("top", &["cuont"])));
    assert_problem(&wrong, "reads from `cuont`, which does not exist; did you mean `count`?");
    let wrong = word_count(|c| c[2].inputs[0].stream = "late".into());
    assert_problem(&wrong, "stream `late` of `split`, which has default");
    let wrong = word_count(|c| c[2].inputs[0].grouping = "random".into());
    assert_problem(&wrong, "unknown grouping `random`: use one of shuffle");
    let wrong = word_count(|c| c[2].inputs[0].fields = vec!["count".into()]);
    assert_problem(&wrong, "groups by `count`, but `Word` has the fields word");
    assert_problem(&word_count(|c| c[2].inputs.push(input("split"))), "twice");
}

#[test]
fn a_component_in_the_wrong_place_is_told() {
    assert_problem(&word_count(|c| c[0].inputs.push(input("count"))), "Spout `words` reads");
    assert_problem(&word_count(|c| c.push(bolt("lost", &[]))), "Bolt `lost` reads no stream");
    let mut empty = topology(Vec::new());
    assert_problem(&empty, "no spout");
    empty.components = vec![bolt("a", &["b"]), bolt("b", &[])];
    let problems = empty.problems();
    assert!(problems.iter().any(|p| p.contains("No spout leads to component `a`")), "{problems:?}");
}

#[test]
fn a_cycle_is_told_along_its_path() {
    let cycle = word_count(|c| c[1].inputs.push(input("count")));
    assert_problem(&cycle, "`split` -> `count` -> `split` form a cycle: break it");
    assert_problem(&word_count(|c| c[2].inputs.push(input("count"))), "`count` -> `count`");
    let alone = word_count(|c| c.extend([bolt("a", &["b"]), bolt("b", &["a"])]));
    assert_problem(&alone, "form a cycle without a spout");
}

#[test]
fn everything_is_told_at_once_up_to_a_hundred() {
    let wrong = word_count(|c| {
        c[0].tasks = 0;
        c[1].inputs[0].grouping = "?".into();
        c.push(bolt("lost", &[]));
    });
    assert_eq!(wrong.problems().len(), 3, "{:#?}", wrong.problems());
    let endless = topology((0..5_000).map(|n| bolt(&format!("b{n}"), &["?"])).collect());
    let problems = endless.problems();
    assert_eq!(problems.len(), 101);
    assert!(problems[100].contains("more problems"), "{}", problems[100]);
}

#[test]
fn a_long_chain_and_a_long_circle_are_checked_in_time_and_without_deep_calls() {
    let name = |n: usize| format!("b{n}");
    let mut chain = vec![spout("b0")];
    chain.extend((1..5_000).map(|n| bolt(&name(n), &[&name(n - 1)])));
    assert_eq!(topology(chain.clone()).problems(), Vec::<String>::new());
    chain[1].inputs.push(input(&name(4_999)));
    assert_eq!(topology(chain).problems().len(), 1, "one circle");
}

#[test]
fn every_grouping_an_author_can_name_is_described_and_known() {
    #[derive(Clone, Debug, Tuple)]
    struct Word {
        word: Text,
    }
    struct Sink;
    impl Bolt for Sink {
        type Input = Word;
        type Output = NoOutput;
        fn execute(&mut self, _: Word, _: &mut Output<NoOutput>) -> BoltResult {
            Ok(())
        }
    }
    struct Words;
    impl Spout for Words {
        type Output = Word;
        type Id = u64;
        fn next(&mut self, _: &mut SpoutOutput<Word, u64>) -> SpoutResult {
            Ok(Next::Finished)
        }
    }
    type Reader = BoltDeclarer<Word, NoOutput>;
    type Read = fn(Reader, &Stream<Word>) -> Reader;
    let reads: [(&str, Read); 15] = [
        ("shuffle", |bolt, words| bolt.shuffle(words)),
        ("local-or-shuffle", |bolt, words| bolt.local_or_shuffle(words)),
        ("none", |bolt, words| bolt.none(words)),
        ("fields", |bolt, words| bolt.fields(words, |it| &it.word)),
        ("fields", |bolt, words| bolt.fields_named(words, &["word"])),
        ("partial-key", |bolt, words| bolt.partial_key(words, |it| &it.word)),
        ("partial-key", |bolt, words| bolt.partial_key_named(words, &["word"])),
        ("spread-hot-keys", |bolt, words| bolt.spread_hot_keys(words, |it| &it.word)),
        ("spread-hot-keys", |bolt, words| bolt.spread_hot_keys_named(words, &["word"])),
        ("scatter-hot-keys", |bolt, words| bolt.scatter_hot_keys(words, |it| &it.word)),
        ("scatter-hot-keys", |bolt, words| bolt.scatter_hot_keys_named(words, &["word"])),
        ("all", |bolt, words| bolt.all(words)),
        ("global", |bolt, words| bolt.global(words)),
        ("direct", |bolt, words| bolt.direct(words)),
        ("custom", |bolt, words| {
            bolt.custom(words, |_| |batch: &[Word], to: &mut Vec<u32>| to.resize(batch.len(), 0))
        }),
    ];
    let mut named = BTreeSet::new();
    for (name, read) in reads {
        let mut t = TopologyBuilder::new("demo");
        let words = t.spout("words", |_| Words).stream();
        read(t.bolt("sink", |_| Sink), &words);
        let description = t.build().unwrap_or_else(|error| panic!("{name}: {error}")).describe();
        let input = &description.components[1].inputs[0];
        assert_eq!(input.grouping, name);
        assert!(input.fields.is_empty() || input.fields == ["word"], "{name}: {input:?}");
        named.insert(name);
    }
    assert_eq!(named, BTreeSet::from(GROUPINGS), "no name is missing, and none too many");
}

#[test]
fn a_field_that_a_partial_key_names_must_be_there() {
    let mut t = word_count(|components| {
        let input = &mut components[2].inputs[0];
        input.grouping = "partial-key".into();
        input.fields = vec!["wrod".into()];
    });
    assert_problem(&t, "groups by `wrod`");
    t.components[2].inputs[0].fields = vec!["word".into()];
    assert!(t.problems().is_empty());
}
