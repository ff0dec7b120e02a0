//! What a binary is made for, as far as its first bytes tell.
//!
//! The command line looks closer before it sends one; this is for whoever comes without it.

/// How much of a binary says what it is made for.
pub(crate) const HEAD_BYTES: usize = 20;

/// Says why a file that begins like this cannot run here, as far as its header tells.
#[cfg(target_os = "linux")]
pub(crate) fn check_platform(head: &[u8]) -> Result<(), String> {
    const LITTLE_ENDIAN: u8 = 1;
    const CLASS_64: u8 = 2;
    const EXECUTABLE: u16 = 2;
    const POSITION_INDEPENDENT: u16 = 3;
    let [0x7f, b'E', b'L', b'F', class, order, _, _, _, _, _, _, _, _, _, _, rest @ ..] = head
    else {
        return Err("it is not a program for Linux (no ELF header)".to_owned());
    };
    if *class != CLASS_64 || *order != LITTLE_ENDIAN {
        return Err("it is not a 64-bit little-endian program".to_owned());
    }
    let &[kind_low, kind_high, machine_low, machine_high, ..] = rest else {
        return Err("its ELF header is cut off".to_owned());
    };
    let kind = u16::from_le_bytes([kind_low, kind_high]);
    if kind != EXECUTABLE && kind != POSITION_INDEPENDENT {
        return Err("it is an object file or a core dump, not a program".to_owned());
    }
    let machine = u16::from_le_bytes([machine_low, machine_high]);
    if machine != MACHINE {
        return Err(format!(
            "it is made for {}, and this cluster runs on {}; build it for {}-unknown-linux-gnu",
            machine_name(machine),
            machine_name(MACHINE),
            std::env::consts::ARCH,
        ));
    }
    Ok(())
}

/// Says why a file that begins like this cannot run here, as far as its header tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check_platform(head: &[u8]) -> Result<(), String> {
    const MACH_O_64: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
    const MACH_O_UNIVERSAL: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];
    if head.starts_with(&MACH_O_64) || head.starts_with(&MACH_O_UNIVERSAL) {
        Ok(())
    } else {
        Err(format!("it is not a program for {}", std::env::consts::OS))
    }
}

/// The machine of this platform, as ELF numbers them.
#[cfg(target_os = "linux")]
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

#[cfg(target_os = "linux")]
fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86".to_owned(),
        40 => "arm".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv".to_owned(),
        other => format!("machine {other}"),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_binary_for_another_machine_is_named() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut head = program[..HEAD_BYTES].to_vec();
        assert_eq!(check_platform(&head), Ok(()));
        head[18..20].copy_from_slice(&243_u16.to_le_bytes());
        assert!(check_platform(&head).unwrap_err().contains("made for riscv"));
        head[4] = 1;
        assert!(check_platform(&head).unwrap_err().contains("64-bit"));
        assert!(check_platform(&head[..10]).unwrap_err().contains("no ELF header"));
    }
}
