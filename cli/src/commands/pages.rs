//! `squall completions` and `squall man`: made from the definition of the command line. The scripts call
//! `squall` back for each completion (`names.rs`), so they know the topologies there are.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::args::command;
use crate::codes::Code;
use crate::commands::{Globals, written};
use crate::error::{Exit, Failure};
use crate::names;
use crate::output;

/// Flags of `squall completions`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall completions bash > ~/.local/share/bash-completion/completions/squall\n  \
    squall completions zsh > ~/.zfunc/_squall\n  \
    squall completions fish > ~/.config/fish/completions/squall.fish\n\n\
    Verbs and flags are completed, and names of topologies and components, as the cluster has them \
    (--nimbus, SQUALL_NIMBUS).")]
pub(crate) struct Completions {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", hide_possible_values = true,
        value_parser = PossibleValuesParser::new(names::shells()))]
    shell: String,
}

/// Flags of `squall man`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall man | man -l -                             read it\n  \
    squall man submit | man -l -                      that of a verb\n  \
    squall man --dir ~/.local/share/man/man1          write all of them")]
pub(crate) struct Man {
    /// The verb [default: `squall` itself]
    #[arg(value_name = "VERB")]
    verb: Option<String>,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    dir: Option<PathBuf>,
}

/// Writes the completions of a shell.
pub(crate) fn completions(completions: &Completions) -> Result<(), Failure> {
    let script = names::script(&completions.shell)
        .map_err(|error| Failure::internal("cannot make the script", error))?;
    written(output::print(&script))
}

/// Writes manual pages.
pub(crate) fn man(man: Man, globals: &Globals) -> Result<(), Failure> {
    let mut squall = command();
    squall.build();
    if let Some(folder) = man.dir {
        let cannot = |error: std::io::Error| {
            let what = format!("cannot write manual pages into {}", folder.display());
            Failure::new(Exit::CannotCreate, what, error, "choose another folder")
        };
        std::fs::create_dir_all(&folder).map_err(cannot)?;
        clap_mangen::generate_to(squall, &folder).map_err(cannot)?;
        let text = format!("the pages are in {}", folder.display());
        return globals.show(&text, &serde_json::json!({ "dir": folder }));
    }
    let page = match man.verb {
        None => squall,
        Some(verb) => match squall.find_subcommand(&verb) {
            Some(found) => found.clone(),
            None => {
                let names = squall.get_subcommands().map(|it| it.get_name().to_owned());
                let names: Vec<String> = names.collect();
                let names = names.iter().map(String::as_str);
                let hint = topology_api::runtime::did_you_mean(&verb, names);
                let why = format!("there is no verb `{verb}`{hint}");
                let fix = "`squall --help` lists them";
                return Err(Failure::new(Code::CommandLine, "cannot show the page", why, fix));
            }
        },
    };
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(page).render(&mut text);
    rendered.map_err(|error| Failure::internal("cannot make the page", error))?;
    written(output::print(String::from_utf8_lossy(&text).trim_end()))
}
