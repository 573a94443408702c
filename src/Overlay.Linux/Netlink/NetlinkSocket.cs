using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Overlay.Linux.Interop;
using static Overlay.Linux.Interop.NetlinkConstants;

namespace Overlay.Linux.Netlink;

/// <summary>Reads one message of an answer; null when it is not of interest. The body starts with the family's fixed header.</summary>
internal delegate T? NetlinkParser<T>(ReadOnlySpan<byte> body)
    where T : class;

/// <summary>A netlink socket: one request at a time, each waited for until its acknowledgement or a deadline.</summary>
internal sealed unsafe class NetlinkSocket : IDisposable
{
    private const int DeadlineMilliseconds = 10_000;
    private const int MostDumpPauseMilliseconds = 100;
    private const int ReceiveBytes = 1 << 16;

    /// <summary>Of whichever socket the thread reads from: what is read is understood before it reads again.</summary>
    [ThreadStatic]
    private static byte[]? t_received;

    private readonly FileDescriptor _socket;
    private readonly List<string> _gathered = [];
    private byte[]? _gathering;
    private int _gatheredLength;
    private uint _sequence;

    /// <param name="protocol">NETLINK_*.</param>
    public NetlinkSocket(int protocol = NETLINK_ROUTE)
    {
        _socket = Open(groups: 0, protocol);
        Enable(NETLINK_EXT_ACK, "NETLINK_EXT_ACK");
        Enable(NETLINK_CAP_ACK, "NETLINK_CAP_ACK");
    }

    /// <summary>Where answers come to; notifications of a change name the port that asked for it.</summary>
    public uint PortId
    {
        get
        {
            var address = new SockAddrNl();
            uint length = (uint)sizeof(SockAddrNl);
            if (Libc.GetSocketName(_socket.Number, &address, &length) < 0) throw LinuxException.Last("getsockname NETLINK_ROUTE");
            return address.nl_pid;
        }
    }

    /// <summary>A bound, non-blocking socket.</summary>
    /// <param name="groups">RTMGRP_* of what it is to be told; 0: only answers.</param>
    /// <param name="protocol">NETLINK_*.</param>
    public static FileDescriptor Open(uint groups, int protocol = NETLINK_ROUTE)
    {
        FileDescriptor socket = FileDescriptor.Own(
            Libc.Socket(Sockets.AF_NETLINK, Sockets.SOCK_RAW | Sockets.SOCK_NONBLOCK | Sockets.SOCK_CLOEXEC, protocol), $"socket of netlink {protocol}");
        var address = new SockAddrNl { nl_family = Sockets.AF_NETLINK, nl_groups = groups };
        if (Libc.Bind(socket.Number, &address, (uint)sizeof(SockAddrNl)) >= 0) return socket;
        var failure = LinuxException.Last($"bind netlink {protocol}");
        socket.Dispose();
        throw failure;
    }

    public void Dispose() => _socket.Dispose();

    /// <summary>Sends a request that changes something and waits for the acknowledgement; after <see cref="Gather"/>, keeps it for later.</summary>
    public void Execute(ref NetlinkRequest request, string call)
    {
        if (_gathering is null)
        {
            Run<object>(ref request, NLM_F_ACK, call, null, []);
            return;
        }
        // All are acknowledged: few as they are, that tells which is the last without knowing it before.
        ReadOnlySpan<byte> message = request.Finish(NLM_F_ACK, ++_sequence);
        if (_gathering.Length - _gatheredLength < message.Length) Array.Resize(ref _gathering, _gathering.Length * 2);
        message.CopyTo(_gathering.AsSpan(_gatheredLength));
        _gatheredLength += message.Length;
        _gathered.Add(call);
    }

    /// <summary>Begins to keep what <see cref="Execute"/> is given, until <see cref="ExecuteGathered"/> or <see cref="Discard"/>.</summary>
    public void Gather()
    {
        if (_gathering is not null) throw new InvalidOperationException("requests are being gathered already");
        _gathering = new byte[8 * NetlinkRequest.BufferBytes];
    }

    public void Discard()
    {
        _gathering = null;
        _gatheredLength = 0;
        _gathered.Clear();
    }

    /// <summary>Sends all that was gathered by one system call.</summary>
    /// <exception cref="LinuxException">The first that is refused.</exception>
    public void ExecuteGathered()
    {
        LinuxException? first = null;
        try
        {
            if (_gathered.Count == 0) return;
            string[] calls = [.. _gathered];
            ExecuteAll(
                _gathering.AsSpan(0, _gatheredLength), calls.Length, $"{calls[0]} and {calls.Length - 1} more",
                (index, errno, detail) => first ??= new LinuxException(calls[index], errno, detail));
        }
        finally
        {
            Discard();
        }
        if (first is not null) throw first;
    }

    /// <summary>Finishes a request that is sent with others: only the last is acknowledged, all are answered where they are refused.</summary>
    /// <returns>Its length in its buffer.</returns>
    public int Append(ref NetlinkRequest request, bool isLast) => request.Finish(isLast ? NLM_F_ACK : (ushort)0, ++_sequence).Length;

    /// <summary>Sends the requests that were just made by <see cref="Append"/>, one behind the other, and waits until all are done.</summary>
    /// <param name="messages">All of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="call">Names them in an error.</param>
    /// <param name="refused">Told the index, error number and explanation of each that the kernel refused.</param>
    public void ExecuteAll(ReadOnlySpan<byte> messages, int count, string call, Action<int, int, string> refused)
    {
        long started = Stopwatch.GetTimestamp();
        uint first = _sequence - (uint)count + 1;
        fixed (byte* pointer = messages)
        {
            if (Libc.Send(_socket.Number, pointer, (nuint)messages.Length, 0) < 0) throw LinuxException.Last($"send {call}");
        }
        while (true)
        {
            ReadOnlySpan<byte> rest = Receive(call, started);
            while (Next(ref rest, call, out NlMsgHdr header, out ReadOnlySpan<byte> body))
            {
                uint index = header.nlmsg_seq - first;
                if (index >= count || header.nlmsg_type != NLMSG_ERROR) continue;
                (int errno, string detail) = Error(header, body);
                if (errno != 0) refused((int)index, errno, detail);
                if (index == count - 1) return;
            }
        }
    }

    /// <summary>Sends a request for one object.</summary>
    public T Get<T>(ref NetlinkRequest request, string call, NetlinkParser<T> parser)
        where T : class
    {
        var results = new List<T>(1);
        Run(ref request, NLM_F_ACK, call, parser, results);
        return results.Count == 1 ? results[0] : throw new LinuxException(call, Errno.ENOENT, $"{results.Count} answers where one was expected");
    }

    /// <summary>Sends a request for all objects; asks again when they changed meanwhile, so that the list is of one moment.</summary>
    public List<T> Dump<T>(ref NetlinkRequest request, string call, NetlinkParser<T> parser)
        where T : class
    {
        var results = new List<T>();
        long started = Stopwatch.GetTimestamp();
        for (int attempt = 1; ; attempt++)
        {
            if (Run(ref request, NLM_F_DUMP, call, parser, results)) return results;
            results.Clear();
            if (Stopwatch.GetElapsedTime(started).TotalMilliseconds > DeadlineMilliseconds)
                throw new LinuxException(call, Errno.EAGAIN, $"the list changed during each of {attempt} attempts to read it");
            // Whatever changes it, such as a runtime that starts many containers, is not to keep step with the attempts.
            Thread.Sleep(Random.Shared.Next(Math.Min(1 << Math.Min(attempt, 10), MostDumpPauseMilliseconds)));
        }
    }

    /// <summary>
    /// Sends messages of which the kernel makes all or none true, and waits until the last is acknowledged or any is refused.
    /// </summary>
    /// <param name="write">Writes them, numbering them from the sequence number that it is given, and returns the last number, which asks for an acknowledgement.</param>
    /// <param name="call">What it is about, for errors.</param>
    public void ExecuteAll(Func<List<byte>, uint, uint> write, string call)
    {
        var messages = new List<byte>();
        uint first = _sequence + 1;
        _sequence = write(messages, first);
        Send(CollectionsMarshal.AsSpan(messages), call);
        Read<object>(first, _sequence, call, null, [], Stopwatch.GetTimestamp());
    }

    private void Enable(int option, string name)
    {
        int one = 1;
        if (Libc.SetSocketOption(_socket.Number, SOL_NETLINK, option, &one, sizeof(int)) < 0) throw LinuxException.Last($"setsockopt {name}");
    }

    /// <returns>False when a dump was interrupted by a change.</returns>
    private bool Run<T>(ref NetlinkRequest request, ushort flags, string call, NetlinkParser<T>? parser, List<T> results)
        where T : class
    {
        long started = Stopwatch.GetTimestamp();
        uint sequence = ++_sequence;
        Send(request.Finish(flags, sequence), call);
        return Read(sequence, sequence, call, parser, results, started);
    }

    private void Send(ReadOnlySpan<byte> message, string call)
    {
        fixed (byte* pointer = message)
        {
            if (Libc.Send(_socket.Number, pointer, (nuint)message.Length, 0) < 0) throw LinuxException.Last($"send {call}");
        }
    }

    /// <summary>Reads answers to the requests of these numbers until the last is acknowledged; refusals of any throw.</summary>
    private bool Read<T>(uint first, uint last, string call, NetlinkParser<T>? parser, List<T> results, long started)
        where T : class
    {
        bool consistent = true;
        while (true)
        {
            ReadOnlySpan<byte> rest = Receive(call, started);
            while (Next(ref rest, call, out NlMsgHdr header, out ReadOnlySpan<byte> body))
            {
                // What is left of a request that was given up.
                if (header.nlmsg_seq < first || header.nlmsg_seq > last) continue;
                if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) consistent = false;
                if (header.nlmsg_type is NLMSG_ERROR or NLMSG_DONE)
                {
                    ThrowIfError(header, body, call);
                    if (header.nlmsg_seq == last) return consistent;
                    continue;
                }
                if (parser?.Invoke(body) is { } result) results.Add(result);
            }
        }
    }

    /// <summary>Takes the first message off an answer; false where there is none.</summary>
    private static bool Next(ref ReadOnlySpan<byte> rest, string call, out NlMsgHdr header, out ReadOnlySpan<byte> body)
    {
        header = default;
        body = default;
        if (rest.Length < sizeof(NlMsgHdr)) return false;
        header = MemoryMarshal.Read<NlMsgHdr>(rest);
        if (header.nlmsg_len < sizeof(NlMsgHdr) || header.nlmsg_len > rest.Length)
            throw new LinuxException(call, Errno.EIO, "the kernel's answer is cut off");
        body = rest[sizeof(NlMsgHdr)..(int)header.nlmsg_len];
        rest = rest[Math.Min(NetlinkRequest.Align((int)header.nlmsg_len), rest.Length)..];
        return true;
    }

    private ReadOnlySpan<byte> Receive(string call, long started)
    {
        byte[] received = t_received ??= GC.AllocateArray<byte>(ReceiveBytes, pinned: true);
        while (true)
        {
            nint length;
            fixed (byte* buffer = received) length = Libc.Receive(_socket.Number, buffer, ReceiveBytes, Sockets.MSG_TRUNC);
            if (length > ReceiveBytes) throw new LinuxException(call, Errno.EMSGSIZE, $"the kernel's answer has {length} bytes");
            if (length >= 0) return received.AsSpan(0, (int)length);
            int errno = Marshal.GetLastSystemError();
            if (errno == Errno.EINTR) continue;
            if (errno != Errno.EAGAIN) throw new LinuxException($"recv {call}", errno);

            int left = DeadlineMilliseconds - (int)Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            if (left <= 0) throw new LinuxException(call, Errno.ETIMEDOUT, $"no answer within {DeadlineMilliseconds} ms");
            var descriptor = new PollFd { fd = _socket.Number, events = Files.POLLIN };
            _ = Libc.Poll(&descriptor, 1, left);
        }
    }

    private static void ThrowIfError(NlMsgHdr header, ReadOnlySpan<byte> body, string call)
    {
        (int errno, string detail) = Error(header, body);
        if (errno != 0) throw new LinuxException(call, errno, detail);
    }

    private static (int Errno, string Detail) Error(NlMsgHdr header, ReadOnlySpan<byte> body)
    {
        int errno = body.Length >= sizeof(int) ? -MemoryMarshal.Read<int>(body) : 0;
        if (errno == 0) return (0, "");
        string detail = "";
        if (header.nlmsg_type == NLMSG_ERROR && (header.nlmsg_flags & NLM_F_ACK_TLVS) != 0)
        {
            // The request's header alone is echoed, because NETLINK_CAP_ACK asks for that; the explanation follows.
            var attributes = new NetlinkAttributes(body[Unsafe.SizeOf<NlMsgErr>()..]);
            while (attributes.Next())
            {
                if (attributes.Type == NLMSGERR_ATTR_MSG) detail = attributes.Text;
            }
        }
        return (errno, detail);
    }
}
