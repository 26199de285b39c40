package lsp

import "encoding/json"

// The parts of the protocol that are used here, as version 3.17 has them
// (https://microsoft.github.io/language-server-protocol).

type documentID struct {
	URI uri `json:"uri"`
}

// cursorParams ask about a place in a document.
type cursorParams struct {
	TextDocument documentID `json:"textDocument"`
	Position     position   `json:"position"`
}

type initializeParams struct {
	RootURI      uri      `json:"rootUri"`
	Folders      []folder `json:"workspaceFolders"`
	Capabilities struct {
		General struct {
			PositionEncodings []encoding `json:"positionEncodings"`
		} `json:"general"`
		Workspace struct {
			DidChangeWatchedFiles struct {
				DynamicRegistration bool `json:"dynamicRegistration"`
			} `json:"didChangeWatchedFiles"`
		} `json:"workspace"`
		TextDocument struct {
			Completion struct {
				CompletionItem struct {
					SnippetSupport bool `json:"snippetSupport"`
				} `json:"completionItem"`
			} `json:"completion"`
		} `json:"textDocument"`
	} `json:"capabilities"`
}

type folder struct {
	URI uri `json:"uri"`
}

type initializeResult struct {
	Capabilities capabilities `json:"capabilities"`
	ServerInfo   serverInfo   `json:"serverInfo"`
}

type serverInfo struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type capabilities struct {
	PositionEncoding   encoding    `json:"positionEncoding"`
	TextDocumentSync   syncOptions `json:"textDocumentSync"`
	Completion         completion  `json:"completionProvider"`
	Hover              bool        `json:"hoverProvider"`
	Definition         bool        `json:"definitionProvider"`
	References         bool        `json:"referencesProvider"`
	DocumentSymbol     bool        `json:"documentSymbolProvider"`
	DocumentFormatting bool        `json:"documentFormattingProvider"`
	CodeAction         struct {
		Kinds []string `json:"codeActionKinds"`
	} `json:"codeActionProvider"`
	Rename struct {
		Prepare bool `json:"prepareProvider"`
	} `json:"renameProvider"`
	Workspace struct {
		Folders struct {
			Supported bool `json:"supported"`
			Changes   bool `json:"changeNotifications"`
		} `json:"workspaceFolders"`
	} `json:"workspace"`
}

type syncOptions struct {
	OpenClose bool `json:"openClose"`
	Change    int  `json:"change"`
	Save      bool `json:"save"`
}

// incremental is the sync of documents by what has changed in them.
const incremental = 2

type completion struct {
	Triggers []string `json:"triggerCharacters"`
}

type didOpenParams struct {
	TextDocument struct {
		URI     uri    `json:"uri"`
		Version int    `json:"version"`
		Text    string `json:"text"`
	} `json:"textDocument"`
}

type didChangeParams struct {
	TextDocument struct {
		URI     uri `json:"uri"`
		Version int `json:"version"`
	} `json:"textDocument"`
	Changes []struct {
		Range *span  `json:"range"` // nil: the whole document
		Text  string `json:"text"`
	} `json:"contentChanges"`
}

type documentParams struct {
	TextDocument documentID `json:"textDocument"`
}

type foldersParams struct {
	Event struct {
		Added   []folder `json:"added"`
		Removed []folder `json:"removed"`
	} `json:"event"`
}

type cancelParams struct {
	ID json.RawMessage `json:"id"`
}

type location struct {
	URI   uri  `json:"uri"`
	Range span `json:"range"`
}

type publishParams struct {
	URI         uri          `json:"uri"`
	Version     *int         `json:"version,omitempty"`
	Diagnostics []diagnostic `json:"diagnostics"`
}

type diagnostic struct {
	Range           span             `json:"range"`
	Severity        int              `json:"severity"`
	Code            string           `json:"code,omitempty"`
	CodeDescription *codeDescription `json:"codeDescription,omitempty"`
	Source          string           `json:"source"`
	Message         string           `json:"message"`
	Tags            []int            `json:"tags,omitempty"`
	Related         []related        `json:"relatedInformation,omitempty"`
}

type codeDescription struct {
	Href string `json:"href"`
}

type related struct {
	Location location `json:"location"`
	Message  string   `json:"message"`
}

// unnecessary is the tag of what editors show faded.
const unnecessary = 1

type completionItem struct {
	Label         string   `json:"label"`
	Kind          int      `json:"kind"`
	Detail        string   `json:"detail,omitempty"`
	Documentation *content `json:"documentation,omitempty"`
	SortText      string   `json:"sortText,omitempty"`
	Format        int      `json:"insertTextFormat,omitempty"`
	Mode          int      `json:"insertTextMode,omitempty"`
	Edit          edit     `json:"textEdit"`
}

// The kinds of completions.
const (
	functionKind = 3
	fieldKind    = 5
	variableKind = 6
	moduleKind   = 9
	propertyKind = 10
	valueKind    = 12
	enumKind     = 20
	keywordKind  = 14
	fileKind     = 17
)

// snippet is the format of a text with places to go on at, adjusted the mode of
// one whose lines are indented as the first is.
const (
	snippet  = 2
	adjusted = 2
)

type content struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// markdown is nil for an empty text.
func markdown(text string) *content {
	if text == "" {
		return nil
	}
	return &content{"markdown", text}
}

type hover struct {
	Contents content `json:"contents"`
	Range    span    `json:"range"`
}

type referenceParams struct {
	cursorParams
	Context struct {
		IncludeDeclaration bool `json:"includeDeclaration"`
	} `json:"context"`
}

type renameParams struct {
	cursorParams
	NewName string `json:"newName"`
}

type renamed struct {
	Range       span   `json:"range"`
	Placeholder string `json:"placeholder"`
}

type workspaceEdit struct {
	Changes map[uri][]edit `json:"changes"`
}

type documentSymbol struct {
	Name      string           `json:"name"`
	Detail    string           `json:"detail,omitempty"`
	Kind      int              `json:"kind"`
	Range     span             `json:"range"`
	Selection span             `json:"selectionRange"`
	Children  []documentSymbol `json:"children,omitempty"`
}

type codeActionParams struct {
	TextDocument documentID `json:"textDocument"`
	Range        span       `json:"range"`
	Context      struct {
		Only []string `json:"only"`
	} `json:"context"`
}

type codeAction struct {
	Title       string        `json:"title"`
	Kind        string        `json:"kind"`
	Diagnostics []diagnostic  `json:"diagnostics,omitempty"`
	Preferred   bool          `json:"isPreferred,omitempty"`
	Edit        workspaceEdit `json:"edit"`
}

type registration struct {
	ID      string `json:"id"`
	Method  string `json:"method"`
	Options any    `json:"registerOptions"`
}

type logParams struct {
	Type    int    `json:"type"`
	Message string `json:"message"`
}
