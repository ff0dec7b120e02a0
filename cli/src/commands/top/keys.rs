//! Keys as they are pressed, and the size of the terminal.
//!
//! `stty` sets the terminal so that keys come one by one and are not shown: it is everywhere, and no
//! other code is needed for it.

use std::io::{self, IsTerminal, Read};
use std::process::{Command, Stdio};

use tokio::sync::mpsc;

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Enter,
    Back,
    Character(char),
}

impl Key {
    fn of(byte: u8, typing: bool) -> Option<Self> {
        match byte {
            b'\r' | b'\n' => Some(Self::Enter),
            8 | 127 => Some(Self::Back),
            b'q' if !typing => Some(Self::Quit),
            b' '..=b'~' => Some(Self::Character(char::from(byte))),
            _ => None,
        }
    }
}

/// The keyboard, while it is held; as it was afterwards.
pub(super) struct Keys {
    pressed: Option<mpsc::Receiver<Key>>,
    /// How the terminal was set.
    before: Option<String>,
}

impl Keys {
    /// Takes the keyboard, if there is one.
    pub(super) fn open(live: bool) -> Self {
        let before = (live && io::stdin().is_terminal()).then(|| stty(&["-g"])).flatten();
        if before.is_none() || stty(&["-icanon", "-echo", "min", "1"]).is_none() {
            return Self { pressed: None, before: None };
        }
        let (sender, pressed) = mpsc::channel(16);
        // It ends with the process: a read of a keyboard cannot be interrupted.
        std::thread::spawn(move || {
            let mut typing = false;
            for byte in io::stdin().lock().bytes().map_while(Result::ok) {
                let Some(key) = Key::of(byte, typing) else { continue };
                typing = match key {
                    Key::Character('/') => true,
                    Key::Enter => false,
                    _ => typing,
                };
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Self { pressed: Some(pressed), before }
    }

    /// The next key; never, without a keyboard.
    pub(super) async fn next(&mut self) -> Key {
        if let Some(pressed) = &mut self.pressed
            && let Some(key) = pressed.recv().await
        {
            return key;
        }
        std::future::pending().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            stty(&[before.trim()]);
        }
    }
}

/// Columns and lines of the terminal.
pub(super) fn size() -> (usize, usize) {
    let said = stty(&["size"]).unwrap_or_default();
    let mut numbers = said.split_whitespace().filter_map(|word| word.parse().ok());
    let (height, width) = (numbers.next().unwrap_or(24), numbers.next().unwrap_or(80));
    if width == 0 || height == 0 { (80, 24) } else { (width, height) }
}

fn stty(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("stty");
    command.args(arguments).stdin(Stdio::inherit()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_ends_unless_it_is_typed_into_the_filter() {
        assert_eq!(Key::of(b'q', false), Some(Key::Quit));
        assert_eq!(Key::of(b'q', true), Some(Key::Character('q')));
        assert_eq!(Key::of(27, false), None, "the first byte of an arrow");
    }
}
