using System.CommandLine;
using System.Security.Cryptography;
using Overlay.Rpc.Security;

namespace Overlay.Cli.Pki;

/// <summary><c>overlay pki</c>: a certificate authority in a folder, and the certificates of nodes, controllers and administrators.</summary>
internal static class PkiCommand
{
    private const int AuthorityDays = 3650;
    private const int CertificateDays = 365;

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var folder = new Option<string>("--dir") { Description = "Folder of the authority.", HelpName = "FOLDER", DefaultValueFactory = _ => "/etc/overlay/pki" };
        var authorityDays = Days(AuthorityDays);
        var days = Days(CertificateDays);
        var name = new Argument<string>("NAME") { Description = "Whom it is for." };
        var hosts = new Option<string[]>("--host")
        {
            Description = "Name or address by which nodes call it; may be repeated. Default: its name.",
            HelpName = "HOST",
            DefaultValueFactory = _ => [],
        };
        var finish = new Option<bool>("--finish") { Description = "Stop trusting the authorities before the last one." };

        var init = new Command("init", "Make an authority: ca.pem, and ca.key, which stays secret.") { folder, authorityDays };
        init.SetAction(parsed => Run(errors, () => new PkiFolder(parsed.GetValue(folder)!, output).Init(parsed.GetValue(authorityDays))));
        Command node = Issuing("node", "Make the certificate of a node, which lets it write as itself only.", CertificateRole.Node);
        Command controller = Issuing("controller", "Make the certificate of a controller.", CertificateRole.Controller);
        controller.Options.Add(hosts);
        Command admin = Issuing("admin", "Make the certificate of an administrator.", CertificateRole.Administrator);
        var rotate = new Command("rotate", "Make another authority beside the old one: give ca.pem to all machines, issue every certificate anew, then --finish.")
        {
            folder, authorityDays, finish,
        };
        rotate.SetAction(parsed => Run(errors, () =>
        {
            var pki = new PkiFolder(parsed.GetValue(folder)!, output);
            if (parsed.GetValue(finish)) pki.FinishRotation();
            else pki.Rotate(parsed.GetValue(authorityDays));
        }));
        return new Command("pki", "Certificates of nodes, controllers and administrators.") { init, node, controller, admin, rotate };

        Command Issuing(string verb, string description, CertificateRole role)
        {
            var command = new Command(verb, description) { name, folder, days };
            command.SetAction(parsed => Run(errors, () =>
            {
                string[] given = role == CertificateRole.Controller ? parsed.GetValue(hosts)! : [];
                if (role == CertificateRole.Controller && given.Length == 0) given = [parsed.GetValue(name)!];
                new PkiFolder(parsed.GetValue(folder)!, output).Issue(verb, new CertificateIdentity(role, parsed.GetValue(name)!), given, parsed.GetValue(days));
            }));
            return command;
        }
    }

    private static Option<int> Days(int fallback)
    {
        var days = new Option<int>("--days") { Description = "How long it is good.", HelpName = "N", DefaultValueFactory = _ => fallback };
        days.Validators.Add(result =>
        {
            if (result.GetValue(days) is < 1 or > 36500) result.AddError("--days: write a number from 1 to 36500");
        });
        return days;
    }

    private static int Run(TextWriter errors, Action action)
    {
        try
        {
            action();
            return 0;
        }
        catch (Exception exception) when (exception is PkiException or IOException or UnauthorizedAccessException or CryptographicException)
        {
            errors.WriteLine($"overlay: {exception.Message}");
            return 1;
        }
    }
}
