using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text.Json;
using Overlay.Testing;

namespace Overlay.Linux.Tests.Support;

/// <summary>
/// A network namespace of its own, held by a thread that entered it: what runs through <see cref="Run(Action)"/> sees it, and with the
/// thread everything in it vanishes.
/// </summary>
internal sealed partial class NetworkNamespace : IDisposable
{
    private const int CloneNewNet = 0x40000000;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly BlockingCollection<Action> _work = [];
    private readonly Thread _thread;
    private int _threadId;

    public NetworkNamespace()
    {
        _thread = new Thread(() =>
        {
            foreach (Action action in _work.GetConsumingEnumerable()) action();
        })
        {
            IsBackground = true,
            Name = nameof(NetworkNamespace),
        };
        _thread.Start();
        Run(() =>
        {
            if (Unshare(CloneNewNet) != 0) throw LinuxException.Last("unshare CLONE_NEWNET (the tests of this project run as root)");
            _threadId = GetThreadId();
            Ip("link set lo up");
        });
    }

    /// <summary>A pair of veth interfaces, up, with an IPv4 and an IPv6 address each: 192.0.2.1 and 2001:db8::1 in the first namespace.</summary>
    public static void Connect(NetworkNamespace first, NetworkNamespace second)
    {
        first.Ip("link add veth0 type veth peer name veth1");
        first.Ip($"link set veth1 netns /proc/{Environment.ProcessId}/task/{second._threadId}/ns/net");
        SetUp(first, "veth0", 1);
        SetUp(second, "veth1", 2);

        static void SetUp(NetworkNamespace space, string name, int host)
        {
            space.Ip($"address add 192.0.2.{host}/24 dev {name}");
            space.Ip($"address add 2001:db8::{host}/64 dev {name} nodad");
            space.Ip($"link set {name} up");
        }
    }

    public void Run(Action action) => Run(() =>
    {
        action();
        return true;
    });

    public T Run<T>(Func<T> function)
    {
        if (Thread.CurrentThread == _thread) return function();
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _work.Add(() =>
        {
            try
            {
                completion.SetResult(function());
            }
#pragma warning disable CA1031 // Handed on to the caller, whatever it is.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                completion.SetException(exception);
            }
        });
        return completion.Task.WaitAsync(Deadline).GetAwaiter().GetResult();
    }

    /// <summary>What <c>ip</c> prints for the words given; fails where it does.</summary>
    public string Ip(string words) => Execute("ip", words.Split(' '));

    /// <summary>What the program prints; fails where it does.</summary>
    public string Execute(string program, params string[] arguments) => Run(() => ProgramRun.Check(program, arguments).Output);

    /// <summary>The objects that <c>ip -j</c> prints.</summary>
    public IReadOnlyList<JsonElement> IpJson(string words) => [.. JsonDocument.Parse(Ip($"-d -j {words}")).RootElement.EnumerateArray()];

    public void Dispose()
    {
        _work.CompleteAdding();
        Assert.True(_thread.Join(Deadline));
        _work.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "unshare")]
    private static partial int Unshare(int flags);

    [LibraryImport("libc", EntryPoint = "gettid")]
    private static partial int GetThreadId();
}
