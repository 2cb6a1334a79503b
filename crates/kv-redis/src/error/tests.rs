use super::Failure;
use kv_core::{Error, ErrorKind as Kind, Key, Outcome};
use redis::{Value, parse_redis_value};

fn server(line: &str) -> Error {
    let reply = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
    let Value::ServerError(error) = reply else {
        panic!("{reply:?} is no error");
    };
    Failure::server(&error).about(&Key::new("k").unwrap())
}

#[test]
fn server_errors_are_told_by_what_to_do() {
    use Outcome::{Final, NotApplied, Unknown};
    let cases = [
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            Kind::WrongType,
            Final,
        ),
        (
            "WRONGTYPE Operation against a key script: 7af, on @user_script:5.",
            Kind::WrongType,
            Final,
        ),
        (
            "ERR value is not an integer or out of range",
            Kind::NotAnInteger,
            Final,
        ),
        (
            "ERR hash value is not an integer",
            Kind::NotAnInteger,
            Final,
        ),
        (
            "ERR increment or decrement would overflow",
            Kind::Overflow,
            Final,
        ),
        ("NOAUTH Authentication required.", Kind::Denied, Final),
        (
            "WRONGPASS invalid username-password pair",
            Kind::Denied,
            Final,
        ),
        (
            "NOPERM User ann has no permissions to run the 'get' command",
            Kind::Denied,
            Final,
        ),
        (
            "OOM command not allowed when used memory > 'maxmemory'.",
            Kind::Unavailable,
            NotApplied,
        ),
        (
            "READONLY You can't write against a read only replica.",
            Kind::Unavailable,
            NotApplied,
        ),
        (
            "LOADING Redis is loading the dataset in memory",
            Kind::Unavailable,
            NotApplied,
        ),
        (
            "BUSY Redis is busy running a script.",
            Kind::Unavailable,
            NotApplied,
        ),
        (
            "CLUSTERDOWN Hash slot not served",
            Kind::Unavailable,
            NotApplied,
        ),
        (
            "CROSSSLOT Keys in request don't hash to the same slot",
            Kind::CrossGroup,
            Final,
        ),
        ("MOVED 3999 127.0.0.1:6381", Kind::Unsupported, Final),
        ("ERR syntax error", Kind::Unexpected, Unknown),
        ("STRANGE thing", Kind::Unexpected, Unknown),
    ];
    for (line, kind, outcome) in cases {
        let error = server(line);
        assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{line}");
        assert_eq!(error.key(), Some("k"));
    }
}

#[test]
fn what_a_server_quotes_stays_out_of_the_error() {
    for line in [
        "ERR unknown command 'GETX', with args beginning with: 'k' 'secret' ",
        "ERR bad thing 'secret'",
        "ODD `secret`",
        "NOPERM User secret has no permissions",
    ] {
        let error = server(line);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn the_rest_of_a_failed_batch_was_not_applied() {
    let failed = Failure::timeout(std::time::Duration::from_millis(500));
    let rest = Error::from(failed.of_the_rest());
    assert_eq!(
        (rest.kind(), rest.outcome()),
        (Kind::Unavailable, Outcome::NotApplied)
    );
    assert!(rest.to_string().contains("no answer within 500ms"));
    assert_eq!(Error::from(failed).outcome(), Outcome::Unknown);
}

/// As Redis 7.0 and later ones answer where a script runs what its user may not.
#[test]
fn what_a_script_may_not_run_is_denied_and_nothing_is_quoted() {
    let lines = [
        "NOPERM the user may not run ZADD",
        "ERR The user executing the script can't run this command or subcommand",
        "ERR The user executing the script can't access at least one of the keys mentioned in the command arguments",
        "ERR The user executing the script can't publish to the channel mentioned in the command",
        "ERR ACL failure in script: User ann has no permissions to run the 'zadd' command",
        "NOPERM ACL failure in script: User ann has no permissions to access the 'secret' key",
    ];
    for line in lines {
        // Uncaught, the server adds where it happened.
        let uncaught = format!("{line} script: 7af, on @user_script:5.");
        for error in [
            server(line),
            server(&uncaught),
            Failure::caught(line.as_bytes()).into(),
        ] {
            let told = (error.kind(), error.outcome());
            assert_eq!(told, (Kind::Denied, Outcome::Final), "{line}: {error}");
            assert!(error.to_string().contains("ACL"), "{error}");
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("ann") && !shown.contains("secret"),
                "{shown}"
            );
        }
    }
}

#[test]
fn the_command_that_a_script_of_ours_found_forbidden_is_named() {
    let error = server("NOPERM the user may not run ZADD");
    assert!(error.to_string().contains("command ZADD;"), "{error}");
}

#[test]
fn what_the_server_answered_is_told_from_what_never_reached_it() {
    let reply = parse_redis_value(b"-OOM no memory\r\n").unwrap();
    let Value::ServerError(error) = reply else {
        panic!("{reply:?} is no error");
    };
    assert!(Failure::server(&error).is_answer());
    assert!(!Failure::connection_closed().is_answer());
}
