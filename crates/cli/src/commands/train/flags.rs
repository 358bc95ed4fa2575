//! A flag for every option of a run, made from the table that files are read by.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use effigy_train::{Config, ConfigError, OPTIONS, flag, names};

/// The options of `effigy train`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The run's file.
    pub(super) file: Option<PathBuf>,
    pub(super) resume: bool,
    pub(super) dry_run: bool,
    pub(super) progress: bool,
    /// Options by name, as their flags say.
    pub(super) values: Vec<(String, String)>,
}

impl Options {
    /// The file's options, with those of the flags in their place.
    pub(super) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.file {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        for (name, text) in &self.values {
            config.set_text(name, text)?;
        }
        Ok(config)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        self.resume = matches.get_flag("resume");
        self.dry_run = matches.get_flag("dry-run");
        self.progress = matches.get_flag("progress");
        let value = |name: String| matches.get_one::<String>(&name).cloned().map(|value| (name, value));
        self.values = names().into_iter().filter_map(value).collect();
        Ok(())
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let switch = |name: &'static str, help: &'static str| {
            Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
        };
        let file = Arg::new("config")
            .value_name("CONFIG.toml")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A file with options; the flags below go before it");
        let command = command
            .about("Train a classifier or a detector on one's own pictures")
            .after_help(super::EXAMPLES)
            .arg(file)
            .arg(switch("resume", "Go on where the run in the same folder stopped, if there is one"))
            .arg(switch("dry-run", "Say what would be done, and how much memory it takes"))
            .arg(switch("progress", "Show progress even where standard error is no terminal"));
        let default = Config::default();
        names().into_iter().fold(command, |command, name| {
            let option = OPTIONS.iter().find(|option| option.name == name);
            let (value, heading, help) = match option {
                Some(option) => (
                    option.value,
                    option.heading,
                    with_default(option.help, default.get(&name).map(|value| value.to_string())),
                ),
                None => ("VALUE", "How pictures are varied", String::new()),
            };
            let arg = Arg::new(name.clone()).long(flag(&name)).value_name(value).help_heading(heading);
            command.arg(arg.help(help).allow_hyphen_values(true))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What an option is where nothing is said; those that the model decides tell it themselves.
fn with_default(help: &str, value: Option<String>) -> String {
    let value = value.unwrap_or_default();
    match value.trim_matches('"') {
        "" | "none" => help.to_owned(),
        _ if help.ends_with(']') || help.contains("] or ") => help.to_owned(),
        value => format!("{help} [{value}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Options {
        let command = Options::augment_args(Command::new("train"));
        let matches = command.try_get_matches_from([&["train"], arguments].concat()).unwrap();
        Options::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn every_option_has_a_flag() {
        for name in names() {
            let options = parsed(&[&format!("--{}", flag(&name)), "x"]);
            assert_eq!(options.values, [(name, "x".to_owned())]);
        }
    }

    #[test]
    fn flags_go_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, "epochs = 7\nbatch = 3\n[augment]\nmirror = 0.25\n").unwrap();
        let options = parsed(&[path.to_str().unwrap(), "--batch", "5", "--augment-mirror", "0"]);
        let config = options.config().unwrap();
        assert_eq!((config.epochs, config.batch), (7, 5));
        assert_eq!(config.get("augment.mirror").map(|value| value.to_string()).as_deref(), Some("0"));
        let wrong = parsed(&["--size", "big"]).config().unwrap_err().to_string();
        assert_eq!(wrong, "size = big: a number of pixels, or HxW such as 192x256, or none is wanted");
    }
}
