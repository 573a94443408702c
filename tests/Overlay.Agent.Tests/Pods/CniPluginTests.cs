using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using Overlay.Testing;
using Xunit.Abstractions;

namespace Overlay.Agent.Tests.Pods;

/// <summary>The plugin's C program, built with the sanitizers, against an agent that answers anything.</summary>
public sealed class CniPluginTests(ITestOutputHelper output) : IDisposable
{
    private static readonly Lazy<string> Shipped = new(() => Build("overlay-cni-shipped", [], ["-O2", "-static", "-s"]));
    private static readonly Lazy<string> Program = new(() => Build("overlay-cni-checked"));
    private static readonly Lazy<string> Impatient = new(() => Build("overlay-cni-impatient", "-DDEADLINE_MILLISECONDS=1000"));

    private readonly string _folder = Directory.CreateTempSubdirectory("ovt-cni-").FullName;

    private string SocketPath => Path.Combine(_folder, "cni.sock");

    private string Pending => Path.Combine(_folder, "a", "b", "pending");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Version_WithoutAgent_IsAnsweredInTheConfigurationsVersion()
    {
        (int code, string output) = await RunAsync("""{ "cniVersion" : "0.4.0" }""", "CNI_COMMAND=VERSION");

        JsonNode answer = JsonNode.Parse(output)!;
        Assert.Equal((0, "0.4.0"), (code, (string)answer["cniVersion"]!));
        Assert.Equal(["0.3.1", "0.4.0", "1.0.0", "1.1.0"], answer["supportedVersions"]!.AsArray().Select(version => (string)version!));
    }

    [Theory]
    [InlineData("ADD", 11)]
    [InlineData("CHECK", 11)]
    [InlineData("GC", 11)]
    [InlineData("STATUS", 51)]
    public async Task Call_WithoutAgent_FailsWithItsCode(string command, int expected)
    {
        (int code, string output) = await RunAsync("""{"prevResult":{"cniVersion":"0.3.1"},"cniVersion":"1.0.0"}""", $"CNI_COMMAND={command}");

        JsonNode answer = JsonNode.Parse(output)!;
        Assert.Equal((1, expected, "1.0.0"), (code, (int)answer["code"]!, (string)answer["cniVersion"]!));
        Assert.Contains(SocketPath, (string)answer["msg"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "container abc, eth0: ")]
    [InlineData("IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=default", "pod default/web-0 (container abc, eth0): ")]
    [InlineData(";;K8S_POD_NAMESPACE;K8S_POD_NAME=web-0", "pod web-0 (container abc, eth0): ")]
    [InlineData("K8S_POD_NAMESPACE=default;K8S_POD_NAME=", "container abc, eth0: ")]
    public async Task Add_WithoutAgent_NamesThePodAndTheContainer(string arguments, string named)
    {
        (_, string output) = await RunAsync("{}", "CNI_COMMAND=ADD", "CNI_CONTAINERID=abc", "CNI_IFNAME=eth0", $"CNI_ARGS={arguments}");

        Assert.StartsWith($"{named}overlayd does not answer", (string)JsonNode.Parse(output)!["msg"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Add_WithoutAgentAndWithNamesOfAnyLength_NamesWhatFits()
    {
        (int code, string output) = await RunAsync(
            "{}", "CNI_COMMAND=ADD", $"CNI_CONTAINERID={new string('c', 3000)}", $"CNI_IFNAME={new string('i', 3000)}", $"CNI_ARGS=K8S_POD_NAMESPACE={new string('n', 3000)};K8S_POD_NAME={new string('p', 3000)}");

        Assert.Equal(1, code);
        Assert.StartsWith($"pod {new string('n', 63)}/{new string('p', 253)} (container {new string('c', 300)}, ", (string)JsonNode.Parse(output)!["msg"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Delete_WithoutAgent_IsLeftWholeOnDisk()
    {
        const string configuration = """{"cniVersion":"1.0.0","name":"overlay"}""";

        (int code, string output) = await RunAsync(configuration, "CNI_COMMAND=DEL", "CNI_CONTAINERID=abc", "CNI_IFNAME=eth0");

        Assert.Equal((0, ""), (code, output));
        byte[] left = await File.ReadAllBytesAsync(Assert.Single(Directory.GetFiles(Pending, "*.request")));
        Assert.Single(Directory.GetFiles(Pending));
        int environment = BinaryPrimitives.ReadInt32BigEndian(left);
        Assert.Equal(configuration, Encoding.UTF8.GetString(left[(8 + environment)..]));
        Assert.Contains("CNI_CONTAINERID=abc\0", Encoding.UTF8.GetString(left, 8, environment), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("ADD", 11)]
    [InlineData("STATUS", 51)]
    [InlineData("DEL", 0)]
    public async Task Call_AgentThatHangs_EndsAtTheDeadline(string command, int expected)
    {
        // It is listened on, and never served.
        using Socket agent = Listen(SocketPath);

        Finished run = await StartAsync(Impatient.Value, """{"cniVersion":"1.1.0","name":"overlay"}"""u8.ToArray(), SocketPath, $"CNI_COMMAND={command}");

        Assert.Equal("", run.Errors);
        if (expected == 0)
        {
            Assert.Equal((0, ""), (run.Code, run.Output));
            Assert.Single(Directory.GetFiles(Pending, "*.request"));
            return;
        }
        JsonNode answer = JsonNode.Parse(run.Output)!;
        Assert.Equal((1, expected), (run.Code, (int)answer["code"]!));
        Assert.Contains("timed out", (string)answer["msg"]!, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1 << 20, 6)]
    [InlineData((1 << 20) + 1, 7)]
    public async Task Call_HugeInput_IsTakenUpToAMegabyte(int bytes, int expected)
    {
        using Socket agent = Listen(SocketPath);
        Task serving = bytes > 1 << 20 ? Task.CompletedTask : AnswerAsync(agent, [0, 0, 0, 1, 0, 0, 0, 10, .. "{\"code\":6}"u8]);

        Finished run = await StartAsync(Program.Value, new byte[bytes], SocketPath, "CNI_COMMAND=ADD");

        await serving;
        Assert.Equal((1, expected), (run.Code, (int)JsonNode.Parse(run.Output)!["code"]!));
    }

    [Fact]
    public async Task Call_PlacesInTheConfiguration_AreUsed()
    {
        string socket = Path.Combine(_folder, "other.sock");
        using Socket agent = Listen(socket);
        Task serving = AnswerAsync(agent, [0, 0, 0, 0, 0, 0, 0, 2, (byte)'{', (byte)'}']);

        (int code, string output) = await RunAsync($$"""{"args":{"socket":"/x"},"socket":"{{socket}}"}""", [], "CNI_COMMAND=ADD");

        await serving;
        Assert.Equal((0, "{}"), (code, output));
    }

    [Fact]
    public async Task Call_AnyInputAndAnyAnswer_EndsWithoutFault()
    {
        int seed = Environment.TickCount;
        var random = new Random(seed);
        byte[] sound = Encoding.UTF8.GetBytes("""{"cniVersion":"1.1.0","name":"a\"\\","socket":"","prevResult":{"socket":[{"pending":"x"}]},"pending":"/y"}""");
        using Socket agent = Listen(SocketPath);
        for (int i = 0; i < 60; i++)
        {
            byte[] input = [.. sound.Take(random.Next(sound.Length + 1))];
            for (int change = random.Next(0, 5); change > 0 && input.Length > 0; change--) input[random.Next(input.Length)] = (byte)random.Next(256);
            byte[] answer = new byte[random.Next(0, 40)];
            random.NextBytes(answer);
            if (answer.Length >= 8 && random.Next(2) == 0) BinaryPrimitives.WriteInt32BigEndian(answer.AsSpan(4), answer.Length - 8);
            Task serving = AnswerAsync(agent, answer);

            Finished run = await StartAsync(Program.Value, input, SocketPath, "CNI_COMMAND=ADD", $"CNI_ARGS={new string('x', random.Next(0, 5000))}");

            await serving;
            Assert.True(run.Errors.Length == 0, $"seed {seed}, input {i}: {run.Errors}");
        }
    }

    /// <summary>
    /// Time of the processor from the start of the process to its end, by the kernel's account, which waiting does not count in. Where a machine takes longer than
    /// a millisecond to start anything, it is held against one that does nothing.
    /// </summary>
    [Theory]
    [InlineData("VERSION")]
    [InlineData("ADD")]
    public async Task Call_OfTheProgramAsItIsShipped_TakesLessThanAMillisecond(string command)
    {
        using Socket agent = Listen(SocketPath);
        using var stop = new CancellationTokenSource();
        Task serving = AnswerAllAsync(agent, stop.Token);
        var ours = new List<double>();
        var nothing = new List<double>();
        for (int batch = 0; batch < 5; batch++)
        {
            ours.Add(await ProcessorMillisecondsAsync(Shipped.Value, command));
            nothing.Add(await ProcessorMillisecondsAsync("/bin/true", command));
        }
        await stop.CancelAsync();
        await serving;

        string figures = string.Create(CultureInfo.InvariantCulture, $"{command}: {ours.Min():0.00} ms, /bin/true {nothing.Min():0.00} ms, ratio {ours.Min() / nothing.Min():0.00}");
        output.WriteLine(figures);
        Assert.True(ours.Min() < Math.Max(1, nothing.Min() * 1.5), figures);
    }

    /// <summary>Of each of a shell's children, which it starts as a runtime would.</summary>
    private async Task<double> ProcessorMillisecondsAsync(string program, string command)
    {
        const int calls = 40;
        string input = Path.Combine(_folder, "input");
        await File.WriteAllTextAsync(input, """{"cniVersion":"1.1.0","name":"overlay","type":"overlay-cni"}""");
        var start = new ProcessStartInfo("bash", ["-c", $"TIMEFORMAT='%3U %3S'; time for ((i = 0; i < {calls}; i++)); do {program} < {input} > /dev/null || exit 1; done"]) { RedirectStandardError = true };
        foreach ((string name, string value) in new[] { ("CNI_COMMAND", command), ("CNI_CONTAINERID", "a"), ("CNI_NETNS", "/n"), ("CNI_IFNAME", "eth0"), ("OVERLAY_CNI_SOCKET", SocketPath) })
            start.Environment[name] = value;
        using Process shell = Process.Start(start)!;
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        string spent = await shell.StandardError.ReadToEndAsync(deadline.Token);
        await shell.WaitForExitAsync(deadline.Token);
        Assert.True(shell.ExitCode == 0, spent);
        return spent.Split(' ').Sum(part => double.Parse(part, CultureInfo.InvariantCulture)) * 1000 / calls;
    }

    private static async Task AnswerAllAsync(Socket agent, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                using Socket connection = await agent.AcceptAsync(stop);
                await AnswerAsync(connection, [0, 0, 0, 0, 0, 0, 0, 2, (byte)'{', (byte)'}'], stop);
            }
        }
        catch (OperationCanceledException)
        {
            // All calls are done.
        }
    }

    private sealed record Finished(int Code, string Output, string Errors);

    private Task<(int Code, string Output)> RunAsync(string input, params string[] environment) => RunAsync(input, [SocketPath], environment);

    private async Task<(int Code, string Output)> RunAsync(string input, string[] socket, params string[] environment)
    {
        Finished finished = await StartAsync(Program.Value, Encoding.UTF8.GetBytes(input), socket.FirstOrDefault(), environment);
        Assert.Equal("", finished.Errors);
        return (finished.Code, finished.Output);
    }

    private async Task<Finished> StartAsync(string program, byte[] input, string? socket, params string[] environment)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string variable in environment) start.Environment[variable.Split('=')[0]] = variable[(variable.IndexOf('=', StringComparison.Ordinal) + 1)..];
        if (socket is not null) start.Environment["OVERLAY_CNI_SOCKET"] = socket;
        start.Environment["OVERLAY_CNI_PENDING"] = Pending;
        // What it allocates it keeps until it ends.
        start.Environment["ASAN_OPTIONS"] = "detect_leaks=0";
        using Process process = Process.Start(start)!;
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        Task<string> output = process.StandardOutput.ReadToEndAsync(deadline.Token);
        Task<string> errors = process.StandardError.ReadToEndAsync(deadline.Token);
        await process.StandardInput.BaseStream.WriteAsync(input, deadline.Token);
        process.StandardInput.Close();
        await process.WaitForExitAsync(deadline.Token);
        return new Finished(process.ExitCode, await output, await errors);
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        socket.Listen();
        return socket;
    }

    /// <summary>Reads a whole request and answers with these bytes.</summary>
    private static async Task AnswerAsync(Socket agent, byte[] answer)
    {
        using Socket connection = await agent.AcceptAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await AnswerAsync(connection, answer, CancellationToken.None);
    }

    private static async Task AnswerAsync(Socket connection, byte[] answer, CancellationToken stop)
    {
        byte[] header = new byte[8];
        await using var stream = new NetworkStream(connection);
        await stream.ReadExactlyAsync(header, stop);
        byte[] rest = new byte[BinaryPrimitives.ReadInt32BigEndian(header) + BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(4))];
        await stream.ReadExactlyAsync(rest, stop);
        await stream.WriteAsync(answer, stop);
    }

    private static string Build(string name, params string[] options) => Build(name, ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], options);

    private static string Build(string name, string[] sanitizers, string[] options)
    {
        string program = Path.Combine(AppContext.BaseDirectory, name);
        ProgramRun.Check(
            "gcc",
            [
                "-Wall", "-Wextra", "-Wconversion", "-Werror", .. sanitizers, .. options, "-o", program,
                Path.Combine(AppContext.BaseDirectory, "overlay-cni.c"),
            ]);
        return program;
    }
}
