using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Overlay.Cli.Terminals;
using Overlay.Rpc;

namespace Overlay.Cli.Top;

/// <summary><c>overlay top</c>: rates of peers, segments and drops, in place on a terminal.</summary>
internal static class TopCommand
{
    private const double DefaultInterval = 2;

    /// <summary>The second buffer of a terminal, without a cursor; what was on the screen comes back.</summary>
    private const string EnterScreen = "\e[?1049h\e[?25l";
    private const string LeaveScreen = "\e[?25h\e[?1049l";
    private const string HomeAndClear = "\e[H\e[J";

    public static Command Create(TextWriter output, TextWriter errors)
    {
        var interval = new Option<double>("--interval")
        {
            Description = "Seconds between two readings.",
            HelpName = "SECONDS",
            DefaultValueFactory = _ => DefaultInterval,
            CustomParser = Repeat.ParseSeconds,
        };
        var count = new Option<int?>("--count") { Description = "End after so many; default: with q or an interrupt.", HelpName = "N" };
        var once = new Option<bool>("--once") { Description = "As --count 1." };
        Option<bool> json = LocalApiCommand.JsonOption();
        json.Description = "Print one JSON object a reading, one a line.";
        Option<string> socket = LocalApiCommand.SocketOption();
        var command = new Command("top", "Show what goes on: rates of peers, segments and drops. Keys: o, i, n order the peers, q quits.") { interval, count, once, json, socket };
        command.Validators.Add(result =>
        {
            if (result.GetValue(count) is <= 0) result.AddError("--count is the number of readings; give 1 or more");
        });
        command.SetAction((parsed, cancellation) => RunAsync(
            parsed.GetValue(socket)!, parsed.GetValue(interval), parsed.GetValue(once) ? 1 : parsed.GetValue(count), parsed.GetValue(json), output, errors, cancellation));
        return command;
    }

    /// <returns>0 at the end, 1 when the daemon could not be asked.</returns>
    public static async Task<int> RunAsync(
        string socket, double interval, int? count, bool asJson, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        bool isScreen = !asJson && Terminal.WidthOf(output) is not null && count is null;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var keys = new TopKeys(end);
        if (isScreen)
        {
            await output.WriteAsync(EnterScreen).ConfigureAwait(false);
            keys.Start();
        }
        try
        {
            return await ShowAsync(socket, interval, count, asJson, isScreen, keys, output, errors, end.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            return 0;
        }
        finally
        {
            if (isScreen) await output.WriteAsync(LeaveScreen).ConfigureAwait(false);
        }
    }

    private static async Task<int> ShowAsync(
        string socket, double interval, int? count, bool asJson, bool isScreen, TopKeys keys, TextWriter output, TextWriter errors, CancellationToken cancellation)
    {
        var reading = new Reading(socket, errors);
        if (await reading.TakeAsync(cancellation).ConfigureAwait(false) != 0) return 1;
        TopFrame? frame = null;
        using var clock = new PeriodicTimer(TimeSpan.FromSeconds(interval));
        for (int shown = 0; count is null || shown < count;)
        {
            // A key redraws what is known at once.
            Task<bool> tick = clock.WaitForNextTickAsync(cancellation).AsTask();
            while (!tick.IsCompleted && await Task.WhenAny(tick, keys.PressedAsync()).ConfigureAwait(false) != tick)
            {
                keys.Take();
                if (frame is not null) await DrawAsync(frame, keys.Order, output).ConfigureAwait(false);
            }
            await tick.ConfigureAwait(false);
            if (await reading.TakeAsync(cancellation).ConfigureAwait(false) != 0) return 1;
            frame = reading.Frame!;
            shown++;
            if (asJson) await output.WriteLineAsync(JsonSerializer.Serialize(frame, TopJson.Default.TopFrame)).ConfigureAwait(false);
            else if (isScreen) await DrawAsync(frame, keys.Order, output).ConfigureAwait(false);
            else TopView.Write(frame, keys.Order, height: null, output);
            await output.FlushAsync(cancellation).ConfigureAwait(false);
        }
        return 0;
    }

    private static async Task DrawAsync(TopFrame frame, TopOrder order, TextWriter output)
    {
        using var text = new ScreenText(Terminal.WidthOf(output));
        int height = Terminal.Height;
        TopView.Write(frame, order, height, text);
        await output.WriteAsync(HomeAndClear + Repeat.Fit(text.ToString(), height, Terminal.Width)).ConfigureAwait(false);
        await output.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>The last two readings of a daemon's status.</summary>
    private sealed class Reading(string socket, TextWriter errors)
    {
        private StatusDocument? _before;
        private long _taken;

        /// <summary>Between the last two; null after the first.</summary>
        public TopFrame? Frame { get; private set; }

        /// <returns>0, or 1 when the daemon could not be asked.</returns>
        public Task<int> TakeAsync(CancellationToken cancellation) => LocalApiCommand.AskAsync(
            socket,
            async (client, deadline) =>
            {
                StatusDocument now = await client.GetStatusAsync(deadline).ConfigureAwait(false);
                long at = Stopwatch.GetTimestamp();
                if (_before is not null) Frame = TopFrame.Between(_before, now, Stopwatch.GetElapsedTime(_taken, at).TotalSeconds);
                (_before, _taken) = (now, at);
            },
            errors, cancellation);
    }
}
