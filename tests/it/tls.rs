//! TLS as the real program serves and speaks it: trusted and strange authorities, clients with and without a certificate, and a
//! certificate that changes while the server runs.

use crate::world::{ANA, Recipe, World};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use std::ops::Range;
use std::process::Command;
use undertone::server;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes NAME.pem and NAME.key.
fn issue(world: &World, authority: &Authority, name: &str) {
    issue_for(world, authority, name, 2000..2100);
}

/// Valid from the start of one year to the start of another.
fn issue_for(world: &World, authority: &Authority, name: &str, years: Range<i32>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(years.start, 1, 1), date_time_ymd(years.end, 1, 1));
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(world.path(&format!("{name}.pem")), certificate.pem()).unwrap();
    std::fs::write(world.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn configure(world: &World, more: &str) {
    let path = world.path("undertone.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.split("[server.tls]").next().unwrap();
    let tls = format!("{text}\n[server.tls]\ncertificate = \"server.pem\"\nkey = \"server.key\"\n{more}");
    std::fs::write(path, tls).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_says_who_the_server_is_and_who_may_speak_to_it() {
    let world = World::new(&Recipe { patients: 20, ..Recipe::default() });
    let (trusted, strange) = (authority(), authority());
    std::fs::write(world.path("trusted.pem"), trusted.pem()).unwrap();
    std::fs::write(world.path("strange.pem"), strange.pem()).unwrap();
    issue(&world, &trusted, "server");
    issue(&world, &trusted, "client");
    let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let ask = |port: u16, args: &[&str]| {
        let url = format!("https://localhost:{port}");
        let output = Command::new(env!("CARGO_BIN_EXE_undertone"))
            .env_clear()
            .env("HOME", world.dir.path())
            .args(["budget", "--url", &url, "--token", ANA])
            .args(args)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };

    configure(&world, "");
    let running = world.serve().await;
    let port = running.address.port();
    assert_eq!(ask(port, &["--ca", &path("trusted.pem")]), (Some(0), String::new()));
    for args in [vec![], vec!["--ca".to_owned(), path("strange.pem")]] {
        let (code, text) = ask(port, &args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(code == Some(6) && text.contains("certificate"), "{args:?}: {code:?} {text}");
    }
    // The server's new certificate is used without a restart; a broken one is not.
    issue(&world, &strange, "server");
    running.reload().await.unwrap();
    assert_eq!(ask(port, &["--ca", &path("strange.pem")]).0, Some(0));
    assert_eq!(ask(port, &["--ca", &path("trusted.pem")]).0, Some(6));
    std::fs::write(world.path("server.key"), "no key").unwrap();
    let refused = running.reload().await.unwrap_err();
    assert!(refused.message.contains("server.tls.key"), "{refused}");
    for (years, words) in [(2001..2021, "has expired: it was valid until"), (2090..2100, "not in force yet")] {
        issue_for(&world, &strange, "server", years);
        let refused = running.reload().await.unwrap_err();
        assert!(refused.message.contains("server.pem") && refused.message.contains(words), "{refused}");
    }
    assert_eq!(ask(port, &["--ca", &path("strange.pem")]).0, Some(0));
    running.stop().await.unwrap();

    issue(&world, &trusted, "server");
    configure(&world, "client_ca = \"trusted.pem\"\n");
    let running = world.serve().await;
    let port = running.address.port();
    let (client, key, ca) = (path("client.pem"), path("client.key"), path("trusted.pem"));
    assert_ne!(ask(port, &["--ca", &ca]).0, Some(0));
    assert_eq!(ask(port, &["--ca", &ca, "--client-certificate", &client, "--client-key", &key]).0, Some(0));
    running.stop().await.unwrap();

    // With TLS any address will do; without it none but loopback, unless it is said.
    let mut config = server::load(&world.path("undertone.toml")).unwrap();
    config.listen_at("0.0.0.0:0".parse().unwrap()).unwrap();
    std::fs::remove_file(world.path("server.pem")).unwrap();
    let refused = server::start(&config).await.err().unwrap();
    assert!(refused.message.contains("server.tls.certificate"), "{refused}");
}
