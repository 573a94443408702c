using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Overlay.Wire.Capture;
using Overlay.Wire.Decoding;

namespace Overlay.Cli;

/// <summary><c>overlay decode</c>: the tunnel headers in a capture file, as a tree or as one JSON object a frame.</summary>
internal static class DecodeCommand
{
    private const int FileBufferBytes = 256 * 1024;

    /// <param name="openOutput">Opens standard output; called once, when there is something to decode.</param>
    /// <param name="errors">Gets what is wrong with the file or the arguments.</param>
    public static Command Create(Func<Stream> openOutput, TextWriter errors)
    {
        var file = new Argument<string>("FILE") { Description = "Capture file, pcap or pcapng; - is standard input." };
        var json = new Option<bool>("--json") { Description = "Print one JSON object a frame, one a line." };
        Option<ushort[]> vxlan = PortOption("--vxlan-port", "VXLAN besides 4789 and 8472");
        Option<ushort[]> vxlanGpe = PortOption("--vxlan-gpe-port", "VXLAN-GPE besides 4790");
        Option<ushort[]> geneve = PortOption("--geneve-port", "Geneve besides 6081");
        var command = new Command("decode", "Print the outermost tunnel of every frame in a capture file.") { file, json, vxlan, vxlanGpe, geneve };
        command.SetAction(parsed =>
        {
            var ports = new TunnelPorts();
            foreach ((Option<ushort[]> option, TunnelKind kind) in
                new[] { (vxlan, TunnelKind.Vxlan), (vxlanGpe, TunnelKind.VxlanGpe), (geneve, TunnelKind.Geneve) })
            {
                foreach (ushort port in parsed.GetValue(option) ?? [])
                {
                    if (ports.TryAdd(port, kind)) continue;
                    errors.WriteLine($"overlay: {option.Name} {port}: the port was given for another encapsulation too; give it once");
                    return 1;
                }
            }
            return Run(parsed.GetValue(file)!, ports, parsed.GetValue(json), openOutput, errors);
        });
        return command;
    }

    /// <returns>
    /// 0 when the file was read to its end, whatever its frames hold; 1 when it could not be, or the output not be written.
    /// </returns>
    private static int Run(string path, TunnelPorts ports, bool asJson, Func<Stream> openOutput, TextWriter errors)
    {
        try
        {
            using Stream input = path == "-"
                ? Console.OpenStandardInput()
                : new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0, FileOptions.SequentialScan);
            using Stream output = openOutput();
            using IFrameReport report = asJson ? new JsonReport(output) : new TreeReport(output);
            using var buffered = new BufferedStream(new PromptInput(input, report), FileBufferBytes);
            return Decode(path, buffered, new FrameDecoder(ports), report, errors);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            errors.WriteLine($"overlay: {path}: {exception.Message}");
            return 1;
        }
    }

    private static int Decode(string path, Stream input, FrameDecoder decoder, IFrameReport report, TextWriter errors)
    {
        long number = 0;
        try
        {
            CaptureReader reader = CaptureReader.Open(input);
            while (reader.TryRead(out CapturedFrame frame)) report.Write(++number, frame, decoder.Decode(frame));
            return 0;
        }
        catch (CaptureFormatException exception)
        {
            report.Flush();
            errors.WriteLine($"overlay: {path}: {exception.Message}; decoded {number} frames before it");
            return 1;
        }
    }

    private static Option<ushort[]> PortOption(string name, string carries) => new(name)
    {
        Description = $"UDP destination port of {carries}; may be repeated.",
        HelpName = "N",
        Arity = ArgumentArity.ZeroOrMore,
        CustomParser = ParsePorts,
    };

    private static ushort[] ParsePorts(ArgumentResult argument)
    {
        var ports = new List<ushort>();
        foreach (Token token in argument.Tokens)
        {
            if (ushort.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port != 0) ports.Add(port);
            else argument.AddError($"'{token.Value}' is not a UDP port; give a number from 1 to 65535");
        }
        return [.. ports];
    }
}
