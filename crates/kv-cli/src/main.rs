//! The command `kv`; everything is in the library.

fn main() -> std::process::ExitCode {
    kv_cli::main()
}
