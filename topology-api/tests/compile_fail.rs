//! Mistakes that must not compile, and the sentence that the compiler says to each.

#[test]
fn mistakes_are_told_in_a_sentence() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
