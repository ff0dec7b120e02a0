//! `squall new`: a project that compiles, runs and has a test.
//!
//! Its program is the example `heat` of this repository, under the project's name, so it is compiled
//! and tested with everything else. It depends on the checkout that made it.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::codes::Code;
use crate::commands::Globals;
use crate::error::{Exit, Failure};

/// The program, whose topology is called `heat`.
const PROGRAM: &str = include_str!("../../../examples/heat.rs");

/// Flags of `squall new`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall new my-topology                 then: cd my-topology; cargo test; squall dev --watch\n  \
    squall new my-topology --squall-path ~/squall")]
pub(crate) struct New {
    /// Name of the project, of its folder and of its topology
    #[arg(value_name = "NAME")]
    name: String,
    /// Where Squall's sources are [default: where this squall was built]
    #[arg(long, value_name = "DIR")]
    squall_path: Option<PathBuf>,
}

/// Makes the folder with everything in it; what exists is never overwritten.
pub(crate) fn run(new: &New, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot make the project `{}`", new.name);
    check(&what, &new.name)?;
    let squall = sources(&what, new.squall_path.as_deref())?;
    let folder = Path::new(&new.name);
    std::fs::create_dir(folder).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            let fix = "choose another name, or remove it";
            return Failure::new(Code::AlreadyThere, &what, "something of this name is here", fix);
        }
        Failure::new(Exit::CannotCreate, &what, error, "go to a folder that you may write to")
    })?;
    let written = files(&new.name, &squall).into_iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::File::create_new(path)?.write_all(text.as_bytes())
    });
    written.map_err(|error| {
        Failure::new(Exit::CannotCreate, &what, error, "remove what was made, and try again")
    })?;
    let text = format!(
        "{0} is made\n  cd {0}\n  cargo test            its tests\n  cargo run             it runs here, in one process\n  \
         squall dev --watch    it runs on a cluster, again after each change",
        new.name
    );
    globals.show(&text, &json!({ "name": new.name, "squall_path": squall }))
}

/// A name that a package, a program and a topology may all have.
fn check(what: &str, name: &str) -> Result<(), Failure> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = name
        .bytes()
        .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_".contains(&it));
    let taken = ["test", "core", "std", "alloc", "worker", "topology-api", "proc_macro"];
    if first && rest && name.len() <= 64 && !taken.contains(&name) {
        return Ok(());
    }
    let why = if taken.contains(&name) {
        format!("`{name}` has a meaning in Rust or in Squall already")
    } else {
        format!(
            "`{name}` is no name of a package: small letters, digits, `-` and `_`, a letter first"
        )
    };
    Err(Failure::new(Code::BadName, what, why, "choose another name, as in `my-topology`"))
}

/// Where Squall's sources are: as said, where this program was built, or above where it lies.
fn sources(what: &str, said: Option<&Path>) -> Result<PathBuf, Failure> {
    let is_squall = |path: &Path| {
        path.join("topology-api/Cargo.toml").is_file() && path.join("worker/Cargo.toml").is_file()
    };
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let program = std::env::current_exe().unwrap_or_default();
    let mut known = built.into_iter().chain(program.ancestors());
    let found = match said {
        Some(said) => Some(said).filter(|said| is_squall(said)),
        None => known.find(|path| is_squall(path)),
    };
    let Some(found) = found else {
        let why = match said {
            Some(said) => format!("{} holds no sources of Squall", said.display()),
            None => "the sources that this squall was built from are gone".to_owned(),
        };
        let fix = "give the folder that holds topology-api and worker with --squall-path";
        return Err(Failure::new(Code::FileUnreadable, what, why, fix));
    };
    std::path::absolute(found).map_err(|error| {
        Failure::new(Code::FileUnreadable, what, error, "give it with --squall-path")
    })
}

/// Every file of the project.
fn files(name: &str, squall: &Path) -> Vec<(&'static str, String)> {
    let path = |part: &str| toml::Value::String(squall.join(part).to_string_lossy().into_owned());
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\ntopology-api = {{ path = {} }}\nworker = {{ path = {} }}\n\n\
         # What runs is built in release mode; overflows still stop it.\n\
         [profile.release]\noverflow-checks = true\n\n[workspace]\n",
        path("topology-api"),
        path("worker")
    );
    let readme = format!(
        "# {name}\n\nA topology for Squall: a spout gives readings of sensors, a bolt keeps the hottest \
         of each.\n\n```sh\ncargo test             # its components, and the whole\ncargo run              \
         # in one process, to the end\nsquall dev --watch     # on a cluster in one process, again after each \
         change\nsquall submit target/release/{name}    # on a real cluster, after cargo build --release\n```\n"
    );
    let program = PROGRAM.replace("\"heat\"", &format!("\"{name}\""));
    let mut files = vec![
        ("Cargo.toml", manifest),
        ("README.md", readme),
        (".gitignore", "/target\n".to_owned()),
        ("src/main.rs", program),
    ];
    // The versions that Squall itself was tested with, and nothing to download.
    if let Ok(lock) = std::fs::read_to_string(squall.join("Cargo.lock")) {
        files.push(("Cargo.lock", lock));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_package_may_have_are_refused() {
        for good in ["a", "my-topology", "t_2"] {
            assert!(check("cannot", good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "A", "2t", "a b", "worker", "x\"", "ä"] {
            let failure = check("cannot", bad).expect_err(bad);
            assert_eq!(failure.exit, Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn the_program_has_the_name_of_the_project_and_paths_are_quoted() {
        let files = files("mine", Path::new("/a \"b\""));
        let text = |name: &str| files.iter().find(|(path, _)| *path == name).map(|it| it.1.clone());
        assert!(text("src/main.rs").unwrap().contains("TopologyBuilder::new(\"mine\")"));
        let manifest: toml::Table = text("Cargo.toml").unwrap().parse().expect("it is TOML");
        let path = manifest["dependencies"]["worker"]["path"].as_str();
        assert_eq!(path, Some("/a \"b\"/worker"));
    }
}
