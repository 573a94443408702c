using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Overlay.Csi.Protos;
using Overlay.Rpc.Grpc;
using Overlay.Testing;

namespace Overlay.Csi.Tests;

/// <summary>A real driver in a mount namespace and a folder of its own, both of which go with it.</summary>
public sealed class DriverProcess : IAsyncLifetime, IAsyncDisposable
{
    public const string Node = "node-a";

    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly Process _namespace;
    private readonly StringBuilder _log = new();
    private readonly HashSet<string> _images = [];
    private Process? _process;

    public DriverProcess()
    {
        Directory.CreateDirectory(Pool);
        _namespace = Process.Start("unshare", ["--mount", "--propagation", "private", "sleep", "infinity"]);
        Pools.Add($"images={Pool}");
        long start = Stopwatch.GetTimestamp();
        while (File.ResolveLinkTarget($"/proc/{_namespace.Id}/ns/mnt", false)!.Name == File.ResolveLinkTarget("/proc/self/ns/mnt", false)!.Name)
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, "no mount namespace");
            Thread.Sleep(1);
        }
    }

    public string Folder { get; } = Directory.CreateTempSubdirectory("ovt-csi-").FullName;

    public string Socket => $"{Folder}/csi.sock";

    public string Pool => $"{Folder}/pool";

    public string State => $"{Folder}/state";

    public string Api => $"{Folder}/api.sock";

    public string RegistrationSocket => $"{Folder}/csi.overlay.local-reg.sock";

    /// <summary>Options beside the usual ones.</summary>
    public List<string> More { get; } = [];

    public List<string> Pools { get; } = [];

    /// <summary>What the driver runs with: fewer capabilities than root has.</summary>
    public string Capabilities { get; set; } = "-all,+sys_admin,+sys_ptrace,+sys_resource,+dac_override,+dac_read_search,+fowner,+chown,+kill";

    public IReadOnlyList<string> NodeOptions { get; set; } = ["--node-id", Node];

    /// <summary>Folder that is looked through for programs before all others.</summary>
    public string? Programs { get; set; }

    /// <summary>Whether <see cref="Programs"/> is all of its path.</summary>
    public bool OnlyPrograms { get; set; }

    /// <summary>Programs that start the driver, such as one that gives it a mount namespace of its own.</summary>
    public IReadOnlyList<string> Wrapper { get; set; } = [];

    /// <summary>A driver that dies at a step: see <see cref="CrashingDriver"/>.</summary>
    public string? CrashFile { get; set; }

    internal GrpcChannel Channel { get; private set; } = null!;

    public int ExitCode => _process!.ExitCode;

    public static async Task<DriverProcess> StartAsync(Action<DriverProcess>? prepare = null)
    {
        var driver = new DriverProcess();
        try
        {
            prepare?.Invoke(driver);
            await driver.RunAsync();
            return driver;
        }
        catch
        {
            await driver.DisposeAsync();
            throw;
        }
    }

    Task IAsyncLifetime.InitializeAsync()
    {
        Pools.Add($"fast=image:{Folder}/fast.img,3Gi");
        More.AddRange(["--allow", $"directory:{Folder}/shared", "--allow", "tmpfs:64Mi", "--allow", "nfs:192.0.2.1:/export", "--allow", "cifs://192.0.2.1/share"]);
        Directory.CreateDirectory($"{Folder}/shared");
        return RunAsync();
    }

    Task IAsyncLifetime.DisposeAsync() => DisposeAsync().AsTask();

    /// <summary>Starts it, again after <see cref="KillAsync"/>, and waits until it is ready.</summary>
    public async Task RunAsync() => Assert.True(await TryRunAsync(), $"the driver ended: {Log}");

    /// <summary>As <see cref="RunAsync"/>; false where it ends before it is ready.</summary>
    public async Task<bool> TryRunAsync()
    {
        _process = Launch();
        Channel = GrpcChannel.ToSocket(Socket);
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                if ((await Channel.CallAsync(Method<ProbeRequest, ProbeResponse>("Identity", "Probe"), new ProbeRequest(), Patience)).Ready == true) return true;
            }
            catch (GrpcException exception) when (exception.Status is GrpcStatusCode.Unavailable or GrpcStatusCode.Cancelled or GrpcStatusCode.Internal)
            {
                if (_process.HasExited)
                {
                    await EndedAsync();
                    return false;
                }
            }
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, $"the driver does not get ready: {Log}");
            await Task.Delay(20);
        }
    }

    /// <summary>Starts another one with the same options, whatever comes of it.</summary>
    public Process Launch()
    {
        string[] program = CrashFile is null
            ? [Path.Combine(AppContext.BaseDirectory, "overlay-csi")]
            : ["dotnet", Path.Combine(AppContext.BaseDirectory, "Overlay.Csi.Tests.dll")];
        var start = new ProcessStartInfo(
            "/usr/bin/nsenter",
            [
                $"--mount=/proc/{_namespace.Id}/ns/mnt", "--", "/usr/bin/setpriv", "--bounding-set", Capabilities, "--", .. Wrapper, .. program,
                "--endpoint", $"unix://{Socket}", .. NodeOptions, "--registration", Folder, "--state", State, "--api", Api,
                .. Pools.SelectMany(pool => new[] { "--pool", pool }), .. More,
            ]);
        if (CrashFile is not null) start.Environment[CrashingDriver.Variable] = CrashFile;
        if (Programs is not null) start.Environment["PATH"] = OnlyPrograms ? Programs : $"{Programs}:{Environment.GetEnvironmentVariable("PATH")}";
        start.RedirectStandardError = true;
        Process process = Process.Start(start)!;
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_log) _log.AppendLine(line.Data);
        };
        process.BeginErrorReadLine();
        return process;
    }

    /// <summary>What the drivers of this folder wrote to their log.</summary>
    public string Log
    {
        get
        {
            lock (_log) return _log.ToString();
        }
    }

    public async Task KillAsync()
    {
        _process!.Kill();
        await EndedAsync();
    }

    public async Task EndedAsync()
    {
        await _process!.WaitForExitAsync().WaitAsync(Patience);
        Channel.Dispose();
    }

    public async Task TerminateAsync()
    {
        using Process kill = Process.Start("kill", ["-TERM", $"{_process!.Id}"]);
        await EndedAsync();
    }

    /// <summary>The path as it is in the driver's mount namespace.</summary>
    public string In(string path) => $"/proc/{_namespace.Id}/root{path}";

    /// <summary>Runs a program in the driver's mount namespace.</summary>
    public ProgramRun Run(params string[] command) => ProgramRun.Start("nsenter", [$"--mount=/proc/{_namespace.Id}/ns/mnt", "--", .. command]);

    /// <summary>Runs a program that has to succeed in the driver's mount namespace.</summary>
    public ProgramRun Check(params string[] command) => ProgramRun.Check("nsenter", [$"--mount=/proc/{_namespace.Id}/ns/mnt", "--", .. command]);

    /// <summary>Starts a program in the driver's mount namespace, and leaves it running.</summary>
    public Process Start(params string[] command) => Process.Start(
        new ProcessStartInfo("nsenter", [$"--mount=/proc/{_namespace.Id}/ns/mnt", "--", .. command]) { RedirectStandardOutput = true })!;

    /// <summary>Mounts in the driver's folder, as the driver sees them; without those of its pools.</summary>
    public string[] Mounts() =>
    [
        .. File.ReadAllText($"/proc/{_namespace.Id}/mountinfo").Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[4])
            .Where(target => target.StartsWith(Folder, StringComparison.Ordinal) && !target.StartsWith($"{State}/pools/", StringComparison.Ordinal)),
    ];

    /// <summary>Loop devices that have a file of the driver's folder or pools; without the pools' own.</summary>
    public string[] Loops() =>
    [
        .. ProgramRun.Check("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").Lines
            .Where(line => (line.Contains($"{Folder}/", StringComparison.Ordinal) || line.Contains("/vol-", StringComparison.Ordinal)) && !line.Contains("/fast.img", StringComparison.Ordinal))
            .Where(line => line.Contains($"{Folder}/", StringComparison.Ordinal) || _images.Any(image => line.Contains(image, StringComparison.Ordinal)))
            .Select(line => line.Split(' ')[0]),
    ];

    /// <summary>Nothing of a volume is left anywhere.</summary>
    public void AssertClean()
    {
        Assert.Empty(Mounts());
        Assert.Empty(Loops());
        Assert.Empty(Directory.GetFiles(Pool));
        if (Directory.Exists(In($"{State}/pools/fast"))) Assert.Empty(Directory.GetFiles(In($"{State}/pools/fast")));
        Assert.Empty(Directory.GetFiles(State, "*.json", SearchOption.AllDirectories));
    }

    /// <summary>Lets a script call the driver with grpc-js, and yields the lines of JSON that it prints.</summary>
    public async Task<JsonElement[]> AskByGrpcJsAsync(string script)
    {
        ProgramRun node = await Task.Run(() => ProgramRun.Check(
            "node", Path.Combine(AppContext.BaseDirectory, script), Socket, Path.Combine(AppContext.BaseDirectory, "csi.proto"), GrpcJs.Modules, Folder));
        return [.. node.Lines.Select(line => JsonDocument.Parse(line).RootElement)];
    }

    public Task<TResponse> CallAsync<TRequest, TResponse>(string service, string method, TRequest request)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        Channel.CallAsync(Method<TRequest, TResponse>(service, method), request, Patience);

    internal async Task<CreateVolumeResponse> CreateAsync(CreateVolumeRequest request)
    {
        CreateVolumeResponse response = await CallAsync<CreateVolumeRequest, CreateVolumeResponse>("Controller", "CreateVolume", request);
        lock (_images) _images.Add(response.Volume.VolumeId);
        return response;
    }

    internal Task<DeleteVolumeResponse> DeleteAsync(string id) =>
        CallAsync<DeleteVolumeRequest, DeleteVolumeResponse>("Controller", "DeleteVolume", new DeleteVolumeRequest { VolumeId = id });

    public async ValueTask DisposeAsync()
    {
        if (_process is { HasExited: false }) await KillAsync();
        _process?.Dispose();
        _namespace.Kill();
        await _namespace.WaitForExitAsync();
        _namespace.Dispose();
        foreach (string loop in Loops()) ProgramRun.Check("losetup", "--detach", loop);
        Directory.Delete(Folder, recursive: true);
    }

    private static GrpcMethod<TRequest, TResponse> Method<TRequest, TResponse>(string service, string method)
        where TRequest : class, IMessage<TRequest>, new()
        where TResponse : class, IMessage<TResponse>, new() =>
        new(CsiReflection.Descriptor.FindTypeByName<ServiceDescriptor>(service), method);
}
