//! Does nothing: it is here so that cargo unpacks the build-dependency that carries `protoc`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
