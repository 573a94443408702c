namespace Overlay.Cli.Top;

/// <summary>What is pressed while <c>overlay top</c> shows.</summary>
/// <param name="end">Cancelled by q.</param>
internal sealed class TopKeys(CancellationTokenSource end)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _pressed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile TopOrder _order;

    public TopOrder Order => _order;

    /// <summary>Done when the order was changed since <see cref="Take"/>.</summary>
    public Task PressedAsync()
    {
        lock (_lock) return _pressed.Task;
    }

    /// <summary>Waits for the next key.</summary>
    public void Take()
    {
        lock (_lock) _pressed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Reads keys until the program ends; where there is no keyboard, none.</summary>
    public void Start()
    {
        if (Console.IsInputRedirected) return;
        new Thread(Read) { IsBackground = true, Name = "keys" }.Start();
    }

    private void Read()
    {
        while (!end.IsCancellationRequested)
        {
            switch (Console.ReadKey(intercept: true).KeyChar)
            {
                case 'q':
                    end.Cancel();
                    return;
                case 'o':
                    Press(TopOrder.Out);
                    break;
                case 'i':
                    Press(TopOrder.In);
                    break;
                case 'n':
                    Press(TopOrder.Name);
                    break;
                default:
                    break;
            }
        }
    }

    private void Press(TopOrder order)
    {
        _order = order;
        lock (_lock) _pressed.TrySetResult();
    }
}
